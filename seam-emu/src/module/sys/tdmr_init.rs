//! TDH.SYS.TDMR.INIT: initialises a part of a TDMR's PAMT.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::abi::tdmr::GRANULE;
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};

/// Bytes of memory whose PAMT one call initialises: 1024 pages (`TDMR_4K_PAMT_INIT_COUNT`).
const STEP: u64 = 1024 * 4096;

/// RCX: the TDMR's base. RDX out: the next address to initialise, rounded down to 1 GB.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let base = regs.rcx;
    regs.rdx = 0;
    let bad = Status::OPERAND_INVALID.operand(Operand::Rcx);
    if !base.is_multiple_of(GRANULE) || cx.platform.private_pa(base).is_none() {
        return Err(bad);
    }
    let index = cx.module().tdmrs.iter().position(|tdmr| tdmr.base == base).ok_or(bad)?;
    cx.lock(LockId::Tdmr(index as u8), Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Rcx))?;
    let tdmr = &mut cx.module().tdmrs[index];
    if tdmr.initialized_to >= tdmr.end() {
        return Err(Status::TDMR_ALREADY_INITIALIZED);
    }
    tdmr.initialized_to += STEP;
    regs.rdx = tdmr.initialized_to / GRANULE * GRANULE;
    Ok(())
}
