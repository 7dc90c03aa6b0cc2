//! TDH.MNG.KEY.CONFIG: sets a TD's key on the calling LP's package.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::Lifecycle;

/// RCX: the TD's TDR. The last package makes the keys complete.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let tdr = cx.lock_td(regs.rcx, Operand::Rcx, Mode::Exclusive)?;
    let bit = 1 << cx.config.lps[cx.lp].package;
    let all = cx.module().packages();
    let td = cx.td(tdr);
    if td.lifecycle != Lifecycle::KeyidAssigned {
        return Err(Status::LIFECYCLE_STATE_INCORRECT);
    }
    if td.packages & bit != 0 {
        return Err(Status::KEY_CONFIGURED);
    }
    td.packages |= bit;
    if td.packages == all {
        td.lifecycle = Lifecycle::KeysConfigured;
    }
    Ok(())
}
