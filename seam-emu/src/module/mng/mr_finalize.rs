//! TDH.MR.FINALIZE: ends a TD's measurement and makes it runnable.

use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::OpState;

/// RCX: the TD's TDR.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let tdr = cx.lock_td(regs.rcx, Operand::Rcx, Mode::Exclusive)?;
    cx.check_td(tdr, Leaf::MrFinalize, None)?;
    if cx.td(tdr).vcpus == 0 {
        return Err(Status::NO_VCPUS);
    }
    cx.check_mrtd_context(tdr)?;
    cx.end_build(tdr);
    let td = cx.td(tdr);
    td.measurement.finalize();
    td.op_state = OpState::Runnable;
    Ok(())
}
