//! SEAMLDR.CLEANUP: wipes keys, caches and the record of the module, after every LP called it. New in 1.5.02.

use super::loader::Flow;
use super::session::{check_flow, check_lp};
use crate::abi::Status;
use crate::abi::seamldr::SeamExtend;
use crate::context::{Context, Outcome};

/// No operands. EINTERRUPT, after which the LP calls again, only comes by a fault of the plan: no interrupt is pending
/// in a pure model. It comes while the package's last LP wipes keys or caches, after what the session's first LP does.
pub(super) fn run(cx: &mut Context<'_>) -> Outcome {
    check_lp(cx)?;
    check_flow(cx, Flow::Cleanup)?;
    let interrupt = cx.internal_failure(Status::EINTERRUPT).is_some();
    let (lp, package) = (cx.lp, cx.config.lps[cx.lp].package);
    let world = &mut *cx.world;
    if world.loader.cleanup_lps[lp] || !world.loader.init_done {
        return Err(Status::EBADCALL);
    }
    if world.loader.flow == Flow::Ready {
        world.loader.flow = Flow::Cleanup;
        world.seamextend.seam_ready = 0;
        world.seamextend.minor_svn = 0;
        world.seamextend.major_svn = 0;
        world.seamextend.last_patch_se_svn = 0;
        world.loader.snapshot = world.seamextend.clone();
        world.handoff.valid = false;
    }
    if interrupt && world.loader.has_to_clean(cx.config, lp) {
        return Err(Status::EINTERRUPT);
    }
    world.loader.cleanup_lps[lp] = true;
    let done = |member: &dyn Fn(u32) -> bool| {
        cx.config.lps.iter().zip(&world.loader.cleanup_lps).all(|(lp, done)| *done || !member(lp.package))
    };
    let (package_done, all_done) = (done(&|p| p == package), done(&|_| true));
    if package_done {
        world.loader.keys_dirty[package as usize] = false;
        world.loader.cache_dirty[package as usize] = false;
    }
    if all_done {
        // The first 128 of SEAMEXTEND's 136 bytes; the ready flags after them stay.
        let ready = world.seamextend.p_seamldr_ready;
        world.seamextend = SeamExtend { p_seamldr_ready: ready, ..SeamExtend::ZERO };
        world.seamdb.clear();
        world.loader.remaining_updates = world.seamdb.free();
        world.loader.cleanup_lps.fill(false);
        world.loader.flow = Flow::Ready;
    }
    Ok(())
}
