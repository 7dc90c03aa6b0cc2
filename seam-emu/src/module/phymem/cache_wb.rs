//! TDH.PHYMEM.CACHE.WB: writes back the caches of the calling LP's package, for KeyIDs that are being freed.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::{LockId, Mode};
use crate::module::KeyState;

/// RCX: 0 start, 1 resume. `INTERRUPTED_RESUMABLE` only comes by a fault of the plan ([`interrupt`]); a resume is
/// refused unless the call before was interrupted.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &Regs) -> Outcome {
    if regs.rcx > 1 {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    let package = cx.config.lps[cx.lp].package as u8;
    cx.lock(LockId::Wbcache(package), Mode::Exclusive, Status::OPERAND_BUSY.operand(Operand::Wbcache))?;
    cx.lock(LockId::Kot, Mode::Shared, Status::OPERAND_BUSY.operand(Operand::Kot))?;
    let module = cx.module();
    let interrupted = std::mem::replace(&mut module.wbcache_interrupted[usize::from(package)], false);
    if regs.rcx == 1 && !interrupted {
        return Err(Status::WBCACHE_RESUME_ERROR);
    }
    let mut found = false;
    for key in &mut module.kot {
        if let KeyState::Flushed { packages } = key {
            *packages &= !(1 << package);
            found = true;
        }
    }
    if found { Ok(()) } else { Err(Status::NO_HKID_READY_TO_WBCACHE) }
}

/// A fault of the plan interrupts the call before its work: the next may resume.
pub(crate) fn interrupt(cx: &mut Context<'_>) {
    let package = cx.config.lps[cx.lp].package as usize;
    cx.module().wbcache_interrupted[package] = true;
}
