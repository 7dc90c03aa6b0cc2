//! TDH.MEM.TRACK: begins a new TLB epoch of a TD.

use crate::Regs;
use crate::abi::status::Operand;
use crate::abi::{Leaf, Status};
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};

/// RCX: the TD's TDR. Fails while a vCPU that entered before the last call is still inside.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    let tdr = cx.lock_td(regs.rcx, Operand::Rcx, Mode::Shared)?;
    cx.check_td(tdr, Leaf::MemTrack, Some(Mode::Shared))?;
    cx.lock(LockId::TdEpoch(tdr), Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::TdEpoch))?;
    let td = cx.td(tdr);
    if td.inside[1 - (td.epoch & 1) as usize] != 0 {
        return Err(Status::PREVIOUS_TLB_EPOCH_BUSY);
    }
    td.epoch += 1;
    Ok(())
}
