//! TDG.MR.RTMR.EXTEND (leaf 2): extends a register of run-time measurements. Source: TDX module `tdg_mr_rtmr_extend.c`.

use super::stop::{Stop, TdgOutcome};
use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::Context;
use crate::module::td::measure::RTMRS;
use crate::module::vp::private::Private;
use crate::script::Memory;

/// Bytes to which the data are aligned.
const ALIGNMENT: u64 = 64;

/// RCX: guest-physical address of 48 bytes of private memory; RDX: number of the register.
pub(super) fn run(cx: &mut Context<'_>, tdvpr: u64, regs: &Regs) -> TdgOutcome {
    let invalid = |operand| Err(Status::OPERAND_INVALID.operand(operand).into());
    let tdr = cx.vcpu(tdvpr).tdr;
    if !regs.rcx.is_multiple_of(ALIGNMENT) || regs.rcx >= cx.td(tdr).settings.shared_bit() {
        return invalid(Operand::Rcx);
    }
    let mut data = [0; 48];
    Private::of(cx, tdvpr).read(regs.rcx, &mut data).map_err(|reach| Stop::Reach(regs.rcx, reach))?;
    match usize::try_from(regs.rdx) {
        Ok(number) if number < RTMRS => cx.td(tdr).measurement.extend_rtmr(number, &data),
        _ => return invalid(Operand::Rdx),
    }
    Ok(())
}
