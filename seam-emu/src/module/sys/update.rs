//! TDH.SYS.UPDATE: takes over from the predecessor, and makes the module ready.

use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::identity::UPDATE_COMPATIBILITY;
use crate::module::td::Lifecycle;
use crate::module::td::measure::NO_CONTEXT;
use crate::module::{KeyState, SysState, handoff};
use crate::{Corruption, Regs};

/// Version 1: R9 is a mask of features to enable, R10 is reserved. Version and operands are looked at after the handoff data
/// were taken over, which then stay valid: a second call may succeed. Source: 1.5.28 `tdh_sys_update.c`; run in 1.5.25. (1.5.34
/// looks at them first.)
pub(in crate::module) fn run(cx: &mut Context<'_>, version: u8, regs: &Regs) -> Outcome {
    cx.lock_global(Mode::Exclusive)?;
    if cx.module().state != SysState::InitDone || !cx.module().all_lps_initialized() {
        return Err(Status::SYS_STATE_INCORRECT);
    }
    let identity = &cx.module().identity;
    let versions = identity.min_update_hv..=identity.module_hv;
    let data = &cx.world.handoff;
    if !data.valid || !versions.contains(&data.hv) {
        return Err(Status::SYS_INVALID_HANDOFF);
    }
    let bytes = data.bytes.clone();
    let lowest = cx.platform.private_keyid_min;
    handoff::import(cx.module(), lowest, &bytes);
    forget_contexts(cx);
    if version > 0 {
        enable_features(cx, version, regs)?;
    }
    let data = &mut cx.world.handoff;
    data.valid = false;
    data.bytes.clear();
    let module = cx.module();
    module.state = SysState::Ready;
    if let Some(corruption) = cx.corruption {
        corrupt(cx, corruption);
    }
    cx.note_digests();
    Ok(())
}

/// On hardware a module that counts TDs under construction hands them to none that does not (`no_downgrade`). Configurable
/// modules do; what a TD was begun with is then forgotten with the count.
fn forget_contexts(cx: &mut Context<'_>) {
    if !cx.module().identity.counts_builds() {
        cx.world.protected.tds.values_mut().for_each(|td| td.mrtd_context = NO_CONTEXT);
    }
}

/// Versions of TDH.SYS.UPDATE and TDH.SYS.CONFIG with features to enable, which must exist.
pub(super) fn enable_features(cx: &mut Context<'_>, version: u8, regs: &Regs) -> Outcome {
    if version > 1 {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rax));
    }
    if regs.r9 & !cx.module().identity.descriptor.features0 != 0 {
        return Err(Status::OPERAND_INVALID.operand(Operand::R9));
    }
    if regs.r10 != 0 {
        return Err(Status::OPERAND_INVALID.operand(Operand::R10));
    }
    cx.module().update_compatibility = regs.r9 & UPDATE_COMPATIBILITY != 0;
    Ok(())
}

/// A fault of the plan: spoils the TD with the lowest TDR. Without a TD nothing happens.
fn corrupt(cx: &mut Context<'_>, corruption: Corruption) {
    let Some((&tdr, td)) = cx.world.protected.tds.iter_mut().next() else { return };
    match corruption {
        Corruption::FlipBit => {
            let Some((.., entry)) = td.sept.pages().next() else { return };
            let mut byte = [0];
            cx.read(entry.pa, &mut byte);
            cx.write(entry.pa, &[byte[0] ^ 1]);
        }
        Corruption::ForgetRegisters => {
            if let Some(vcpu) = cx.world.protected.vcpus.values_mut().find(|vcpu| vcpu.tdr == tdr) {
                vcpu.machine = crate::script::Machine::default();
                let registers = vcpu.registers;
                if registers.bytes > 0 {
                    cx.write(registers.general, &[0; 128]);
                }
            }
        }
        Corruption::DropKeyid => {
            let keyid = td.keyid;
            td.lifecycle = Lifecycle::KeyidAssigned;
            td.packages = 0;
            let lowest = cx.platform.private_keyid_min;
            *cx.module().key(keyid, lowest) = KeyState::Free;
        }
    }
}
