//! TDH.SYS.SHUTDOWN: closes the module and leaves handoff data for its successor.

use crate::Regs;
use crate::abi::Status;
use crate::abi::status::Operand;
use crate::context::{Context, Outcome};
use crate::locks::Mode;
use crate::module::{SysState, handoff};

/// RCX bit 16: refuse while TDs are in a state that compatibility may depend on. Source: 1.5.28 `tdh_sys_shutdown.c`; exists
/// where TDs under construction are counted.
const AVOID_COMPAT_SENSITIVE: u64 = 1 << 16;

/// RCX bits 15:0: handoff version to produce.
pub(in crate::module) fn run(cx: &mut Context<'_>, regs: &mut Regs) -> Outcome {
    let hv = checked_hv(cx, regs.rcx)?;
    cx.lock_global(Mode::Exclusive)?;
    cx.module().state = SysState::Shutdown;
    if cx.others_busy() {
        // Others saw the module shut down; it opens again when this call ends.
        cx.at_end.reopen = true;
        cx.contended = true;
        return Err(Status::SYS_BUSY);
    }
    let building = cx.module().td_build_count;
    if regs.rcx & AVOID_COMPAT_SENSITIVE != 0 && building > 0 {
        cx.at_end.reopen = true;
        return Err(Status(Status::UPDATE_COMPATIBILITY_SENSITIVE.0 | u64::from(building) << 16));
    }
    let lowest = cx.platform.private_keyid_min;
    let bytes = handoff::export(cx.module(), lowest);
    cx.world.handoff = handoff::Handoff { valid: true, hv, bytes };
    cx.note_digests();
    Ok(())
}

/// The handoff version, if the module can produce it.
fn checked_hv(cx: &mut Context<'_>, rcx: u64) -> Result<u16, Status> {
    let identity = &cx.module().identity;
    let flags = if identity.counts_builds() { AVOID_COMPAT_SENSITIVE } else { 0 };
    let hv = rcx as u16;
    let in_range = (identity.min_update_hv..=identity.module_hv).contains(&hv);
    let refused_downgrade = identity.no_downgrade && hv != identity.module_hv;
    if rcx & !(0xFFFF | flags) != 0 || !in_range || refused_downgrade {
        return Err(Status::OPERAND_INVALID.operand(Operand::Rcx));
    }
    Ok(hv)
}

/// A fault of the plan: for a while the module seems shut down, then SYS_BUSY ends the call and it is open again.
pub(crate) fn transient(cx: &mut Context<'_>) -> Status {
    if let Err(busy) = cx.lock_global(Mode::Exclusive) {
        return busy;
    }
    cx.module().state = SysState::Shutdown;
    cx.at_end.reopen = true;
    Status::SYS_BUSY
}
