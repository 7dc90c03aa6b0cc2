//! TDH.SYS.UPDATE: takes over from the predecessor, and makes the module ready.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::{SysState, handoff};

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
