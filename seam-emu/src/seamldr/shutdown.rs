//! SEAMLDR.SHUTDOWN: ends P-SEAMLDR, after every LP called it.

use super::loader::Flow;
use super::session::{check_flow, check_lp};
use crate::LoaderGeneration;
use crate::abi::Status;
use crate::abi::seamldr::SeamExtend;
use crate::context::{Context, Outcome};

/// No operands. The last LP must be the one that ran the ACM.
pub(super) fn run(cx: &mut Context<'_>) -> Outcome {
    check_lp(cx)?;
    check_flow(cx, Flow::Shutdown)?;
    if cx.config.loader >= LoaderGeneration::V1_5_02 && cx.world.loader.is_dirty() {
        return Err(Status::ECLEANUPREQ);
    }
    let loader = &mut cx.world.loader;
    // A repeated call is counted once and not refused.
    loader.shutdown_lps[cx.lp] = true;
    let called = loader.shutdown_lps.iter().filter(|&&done| done).count();
    if called == 1 {
        cx.world.seamextend.seam_ready = 0;
        loader.snapshot = cx.world.seamextend.clone();
        loader.flow = Flow::Shutdown;
    }
    if called < cx.config.lps.len() {
        return Ok(());
    }
    if cx.config.lps[cx.lp].apic_id != cx.config.acm_x2apicid {
        return Err(Status::EBADCALL);
    }
    loader.snapshot = SeamExtend::ZERO;
    cx.world.seamextend = SeamExtend::ZERO;
    Ok(())
}
