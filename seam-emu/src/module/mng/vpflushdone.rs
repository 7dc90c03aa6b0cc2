//! TDH.MNG.VPFLUSHDONE: blocks a TD after all its vCPUs left their LPs.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::KeyState;
use crate::module::td::{Lifecycle, OpState};

/// RCX: the TD's TDR.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let tdr = cx.lock_td(regs.rcx, Operand::Rcx, Mode::Exclusive)?;
    cx.lock(LockId::Kot, Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Kot))?;
    let td = cx.td(tdr);
    if !matches!(td.lifecycle, Lifecycle::KeysConfigured | Lifecycle::KeyidAssigned) {
        return Err(Status::LIFECYCLE_STATE_INCORRECT);
    }
    if td.op_state != OpState::Uninitialized && td.associated_vcpus != 0 {
        return Err(Status::FLUSHVP_NOT_DONE);
    }
    td.lifecycle = Lifecycle::Blocked;
    let (keyid, building) = (td.keyid, td.op_state == OpState::Initialized);
    let lowest = cx.platform.private_keyid_min;
    let module = cx.module();
    let packages = module.packages();
    *module.key(keyid, lowest) = KeyState::Flushed { packages };
    // Known second-hand of 1.5.25, and in no source that was read (unverified).
    if building {
        cx.end_build(tdr);
    }
    Ok(())
}
