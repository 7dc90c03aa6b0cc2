//! TDH.PHYMEM.CACHE.WB: writes back the caches of the calling LP's package, for KeyIDs that are being freed.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::{KeyState, Module};

/// RCX.
const START: u64 = 0;
const RESUME: u64 = 1;

/// RCX: [`START`] or [`RESUME`]. `INTERRUPTED_RESUMABLE` only comes by a fault of the plan, to a call that has KeyIDs to
/// work for; a resume is refused unless the call before was interrupted, and completes for the KeyIDs that were flushed at
/// the start. Source: TDX module `tdh_phymem_cache_wb.c`.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    if regs.rcx > RESUME {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    let package = cx.config.lps[cx.lp].package as u8;
    cx.lock(LockId::Wbcache(package), Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Wbcache))?;
    cx.lock(LockId::Kot, Mode::Shared, Status::OPERAND_BUSY.operand(Operand::Kot))?;
    let interrupt = cx.internal_failure(Status::INTERRUPTED_RESUMABLE).is_some();
    let Module { kot, wbt, .. } = cx.module();
    let entry = &mut wbt[usize::from(package)];
    if regs.rcx == START {
        entry.interrupted = false;
        let flushed = kot.iter().enumerate().filter(|(_, key)| matches!(key, KeyState::Flushed { .. }));
        let flushed: Vec<u16> = flushed.map(|(slot, _)| slot as u16).collect();
        if flushed.is_empty() {
            return Err(Status::NO_HKID_READY_TO_WBCACHE);
        }
        entry.flushed = flushed;
    } else if !entry.interrupted {
        return Err(Status::WBCACHE_RESUME_ERROR);
    }
    entry.interrupted = interrupt;
    if interrupt {
        return Err(Status::INTERRUPTED_RESUMABLE);
    }
    for slot in std::mem::take(&mut entry.flushed) {
        if let KeyState::Flushed { packages } = &mut kot[usize::from(slot)] {
            *packages &= !(1 << package);
        }
    }
    Ok(())
}
