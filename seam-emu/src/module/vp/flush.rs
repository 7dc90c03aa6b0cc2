//! TDH.VP.FLUSH: ends a vCPU's association with the calling LP.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::td::Lifecycle;

/// RCX: the vCPU's TDVPR.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let (tdvpr, tdr) = cx.lock_vcpu(regs.rcx, Operand::Rcx, Mode::Exclusive)?;
    if cx.td(tdr).lifecycle != Lifecycle::KeysConfigured {
        return Err(Status::TD_KEYS_NOT_CONFIGURED);
    }
    cx.check_tdvps(tdvpr)?;
    let lp = cx.lp as u16;
    let vcpu = cx.vcpu(tdvpr);
    if vcpu.lp != Some(lp) {
        return Err(Status::VCPU_NOT_ASSOCIATED);
    }
    vcpu.lp = None;
    cx.td(tdr).associated_vcpus -= 1;
    Ok(())
}
