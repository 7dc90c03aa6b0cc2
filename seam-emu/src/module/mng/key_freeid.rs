//! TDH.MNG.KEY.FREEID: gives a TD's KeyID back.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::KeyState;
use crate::module::td::Lifecycle;

/// RCX: the TD's TDR.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let tdr = cx.lock_td(regs.rcx, Operand::Rcx, Mode::Exclusive)?;
    let (lifecycle, keyid) = (cx.td(tdr).lifecycle, cx.td(tdr).keyid);
    if lifecycle != Lifecycle::Blocked {
        return Err(Status::LIFECYCLE_STATE_INCORRECT);
    }
    cx.lock(LockId::Kot, Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Kot))?;
    let lowest = cx.platform.private_keyid_min;
    let key = cx.module().key(keyid, lowest);
    if *key != (KeyState::Flushed { packages: 0 }) {
        return Err(Status::WBCACHE_NOT_COMPLETE);
    }
    *key = KeyState::Free;
    cx.td(tdr).lifecycle = Lifecycle::Teardown;
    Ok(())
}
