//! TDH.SYS.INIT: the module's global initialisation.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::{Identity, SysState, handoff};

/// RCX: attributes, all reserved. `RND_NO_ENTROPY` only comes by a fault of the plan.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let attributes = regs.rcx;
    (regs.rcx, regs.rdx, regs.r8, regs.r9, regs.r10) = (0, 0, 0, 0, 0);
    cx.lock_global(Mode::Exclusive)?;
    if attributes != 0 {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    let module = cx.module();
    if module.state != SysState::InitPending {
        return Err(Status::SYS_INIT_NOT_PENDING);
    }
    let handoff_pages = handoff::most_pages(module.kot.len());
    if !sigstruct_is_compatible(&module.identity, handoff_pages) {
        return Err(Status::SYS_INCOMPATIBLE_SIGSTRUCT);
    }
    module.state = SysState::InitDone;
    Ok(())
}

/// The sigstruct's handoff data agrees with what the module was built for (`check_module_build_time_defs`), and the handoff
/// area holds what this model may hand off.
fn sigstruct_is_compatible(identity: &Identity, handoff_pages: u64) -> bool {
    let built = &identity.descriptor;
    let pages = u64::from(identity.num_handoff_pages) + 1;
    identity.module_hv == built.module_hv
        && identity.min_update_hv >= built.min_update_hv
        && (identity.no_downgrade || built.no_downgrade == 0)
        && pages >= handoff_pages.max(built.min_handoff_pages.into())
}
