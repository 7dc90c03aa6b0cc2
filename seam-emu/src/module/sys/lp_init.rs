//! TDH.SYS.LP.INIT: initialises the calling LP.

use crate::Regs;
use crate::abi::Status;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::SysState;

/// No operands.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    (regs.rcx, regs.rdx, regs.r8) = (0, 0, 0);
    cx.lock_global(Mode::Shared)?;
    let lp = cx.lp;
    let module = cx.module();
    if module.state != SysState::InitDone {
        return Err(Status::SYS_LP_INIT_NOT_PENDING);
    }
    if std::mem::replace(&mut module.lp_initialized[lp], true) {
        return Err(Status::SYS_LP_INIT_DONE);
    }
    Ok(())
}
