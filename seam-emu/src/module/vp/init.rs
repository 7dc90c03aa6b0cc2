//! TDH.VP.INIT: sets a vCPU's registers and makes it ready.

use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::OpState;

/// RCX: the vCPU's TDVPR; RDX: its initial RCX (here also: where its script begins); version 1, R8: its x2APIC id, for
/// which the TDR is locked exclusively (2.0 tree `tdh_vp_init.c`; Linux `tdx_td_vcpu_init`).
pub(in crate::module) fn run(cx: &mut Context<'_>, version: u8, regs: &Regs) -> Outcome {
    let tdr_mode = if version > 0 { Mode::Exclusive } else { Mode::Shared };
    let (tdvpr, tdr) = cx.lock_vcpu_and_td(regs.rcx, Operand::Rcx, Mode::Exclusive, tdr_mode)?;
    cx.check_td(tdr, Leaf::VpInit, Some(Mode::Shared))?;
    cx.check_tdvps(tdvpr)?;
    if cx.vcpu(tdvpr).ready {
        return Err(cx.vcpu_state_incorrect(tdvpr));
    }
    let td = cx.td(tdr);
    debug_assert_eq!(td.op_state, OpState::Initialized, "the table of states says so");
    if td.vcpus >= u32::from(td.settings.max_vcpus) {
        return Err(Status::MAX_VCPUS_EXCEEDED);
    }
    let apic_id = if version > 0 { Some(checked_apic_id(cx, tdr, regs.r8)?) } else { None };
    let td = cx.td(tdr);
    let index = td.vcpus;
    td.vcpus += 1;
    let vcpu = cx.vcpu(tdvpr);
    vcpu.index = index;
    vcpu.apic_id = apic_id.unwrap_or(index);
    vcpu.machine.start(regs.rdx, index);
    vcpu.ready = true;
    cx.associate(tdvpr)?;
    Ok(())
}

/// The id must fit and be no other vCPU's. Source: 2.0 tree `tdh_vp_init.c`, after the count of vCPUs; 1.5.01 has no
/// version 1.
fn checked_apic_id(cx: &Context<'_>, tdr: u64, r8: u64) -> Result<u32, Status> {
    let id = u32::try_from(r8).map_err(|_| Status::OPERAND_INVALID.operand(Operand::R8))?;
    let taken = cx.world.protected.vcpus.values().any(|vcpu| vcpu.tdr == tdr && vcpu.ready && vcpu.apic_id == id);
    if taken { Err(Status(Status::X2APIC_ID_NOT_UNIQUE.0 | u64::from(id))) } else { Ok(id) }
}
