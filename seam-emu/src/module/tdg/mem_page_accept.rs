//! TDG.MEM.PAGE.ACCEPT (leaf 6): makes a pending page the TD's. Source: TDX module `tdg_mem_page_accept.c`.

use super::stop::{Stop, TdgOutcome};
use crate::Regs;
use crate::abi::Status;
use crate::context::Context;
use crate::module::vp::private::Private;
use crate::script::Memory;

/// RCX: guest-physical address, and the level in bits 2:0.
pub(super) fn run(cx: &mut Context<'_>, tdvpr: u64, regs: &Regs) -> TdgOutcome {
    const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
    match Private::of(cx, tdvpr).accept(regs.rcx) {
        Ok(Status::SUCCESS) => Ok(()),
        Ok(status) => Err(status.into()),
        Err(reach) => Err(Stop::Reach(regs.rcx & ADDRESS, reach)),
    }
}
