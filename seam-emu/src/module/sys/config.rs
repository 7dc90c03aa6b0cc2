//! TDH.SYS.CONFIG: tells the module its memory (TDMRs) and its global KeyID.

use crate::abi::status::Operand;
use crate::abi::tdmr::{ALIGNMENT, MAX_TDMRS, TdmrInfo};
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::{KeyState, SysState, Tdmr};
use crate::{Note, Regs};

use super::tdmr_checks;
use super::update::enable_features;

/// FEATURES0 bit 36: R8 bit 16 asks for dynamic PAMT.
const DYNAMIC_PAMT: u64 = 1 << 36;
/// R8: [`DYNAMIC_PAMT`], where the module has it.
const WITH_DYNAMIC_PAMT: u64 = 1 << 16;

/// RCX: array of addresses of [`TdmrInfo`], aligned to 512; RDX: their number; R8: global KeyID; version 1, R9: mask of
/// features to enable, R10: reserved. Source of version 1: 1.5.28 `tdx_vmm_dispatcher.c`, which passes these operands; in
/// which order they are looked at is unverified, and here is as in TDH.SYS.UPDATE.
pub(in crate::module) fn run(cx: &mut Context<'_>, version: u8, regs: &mut Regs) -> Outcome {
    cx.lock_global(Mode::Exclusive)?;
    let module = cx.module();
    if module.state != SysState::InitDone || !module.all_lps_initialized() {
        return Err(Status::SYS_CONFIG_NOT_PENDING);
    }
    let array = cx.shared(regs.rcx, ALIGNMENT, Operand::Rcx)?;
    if !(1..=MAX_TDMRS).contains(&regs.rdx) {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rdx));
    }
    refuse_dynamic_pamt(cx, regs.r8)?;
    if regs.r8 > u64::from(u16::MAX) || !cx.platform.is_private_keyid(regs.r8 as u16) {
        return Err(Status::OPERAND_INVALID.operand(Operand::R8));
    }
    if version > 0 {
        enable_features(cx, version, regs)?;
    }
    let keyid = regs.r8 as u16;
    let slot = usize::from(keyid - cx.platform.private_keyid_min);
    // As in the source, the KeyID stays reserved even if a TDMR is refused below.
    cx.module().kot[slot] = KeyState::Reserved;
    cx.module().keyid = keyid;
    let mut addresses = [0u64; MAX_TDMRS as usize];
    let count = regs.rdx as usize;
    let mut bytes = [0u8; MAX_TDMRS as usize * 8];
    cx.read(array.0, &mut bytes[..count * 8]);
    for (address, chunk) in addresses.iter_mut().zip(bytes.chunks_exact(8)) {
        *address = u64::from_le_bytes(chunk.try_into().expect("chunks of 8"));
    }
    let mut infos = Vec::with_capacity(count);
    for &address in &addresses[..count] {
        let pa = cx.shared(address, ALIGNMENT, Operand::Rcx)?;
        infos.push(cx.read_as::<TdmrInfo>(pa));
        tdmr_checks::check_last(cx, &infos)?;
    }
    // PAMTs will be made anew: whatever TDs an earlier module left are lost.
    cx.world.protected = cx.world.protected.emptied();
    let module = cx.module();
    module.tdmrs = infos.iter().map(Tdmr::new).collect();
    module.package_configured.fill(false);
    module.state = SysState::ConfigDone;
    Ok(())
}

/// Dynamic PAMT is not modelled: a module that has it refuses it here, which is told to the caller of this crate.
fn refuse_dynamic_pamt(cx: &mut Context<'_>, r8: u64) -> Outcome {
    if r8 & WITH_DYNAMIC_PAMT == 0 || cx.module().identity.descriptor.features0 & DYNAMIC_PAMT == 0 {
        return Ok(());
    }
    cx.unmodelled = true;
    cx.notes.push(Note::UnmodelledLeaf { leaf: Leaf::SysConfig.number() });
    Err(Status::OPERAND_INVALID.operand(Operand::R8))
}
