//! TDH.SYS.UPDATE: takes over from the predecessor, and makes the module ready.

use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::Lifecycle;
use crate::module::{KeyState, SysState, handoff};
use crate::{Corruption, Regs};

/// Version 1 (1.5.25): R9 is a mask of features to enable, R10 is reserved.
pub(in crate::module) fn run(cx: &mut Context<'_>, version: u8, regs: &Regs) -> Outcome {
    cx.lock_global(Mode::Exclusive)?;
    if cx.module().state != SysState::InitDone || !cx.module().all_lps_initialized() {
        return Err(Status::SYS_STATE_INCORRECT);
    }
    if version > 0 {
        check_features(cx, regs)?;
    }
    let identity = &cx.module().identity;
    let versions = identity.min_update_hv..=identity.module_hv;
    let data = &mut cx.world.handoff;
    if !data.valid || !versions.contains(&data.hv) {
        return Err(Status::SYS_INVALID_HANDOFF);
    }
    data.valid = false;
    let bytes = std::mem::take(&mut data.bytes);
    let module = cx.module();
    handoff::import(module, &bytes);
    module.state = SysState::Ready;
    if let Some(corruption) = cx.corruption {
        corrupt(cx, corruption);
    }
    cx.note_digests();
    Ok(())
}

/// Features to enable must exist.
fn check_features(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    if regs.r9 & !cx.module().identity.descriptor.features0 != 0 {
        return Err(Status::OPERAND_INVALID.operand(Operand::R9));
    }
    if regs.r10 != 0 {
        return Err(Status::OPERAND_INVALID.operand(Operand::R10));
    }
    Ok(())
}

/// A fault of the plan: spoils the TD with the lowest TDR. Without a TD nothing happens.
fn corrupt(cx: &mut Context<'_>, corruption: Corruption) {
    let Some((&tdr, td)) = cx.world.protected.tds.iter_mut().next() else { return };
    match corruption {
        Corruption::FlipBit => {
            let Some((_, entry)) = td.sept.pages().next() else { return };
            let mut byte = [0];
            cx.read(entry.pa, &mut byte);
            cx.write(entry.pa, &[byte[0] ^ 1]);
        }
        Corruption::ForgetRegisters => {
            if let Some(vcpu) = cx.world.protected.vcpus.values_mut().find(|vcpu| vcpu.tdr == tdr) {
                vcpu.machine = crate::script::Machine::default();
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
