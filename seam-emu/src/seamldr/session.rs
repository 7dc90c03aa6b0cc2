//! Sessions that span all LPs: one kind at a time.

use super::loader::Flow;
use crate::LoaderGeneration;
use crate::abi::Status;
use crate::config::MAX_LPS;
use crate::context::{Context, Outcome};

/// LPs are counted in bitmaps by x2APIC id. Source: the first check of `seamldr_install`, `seamldr_shutdown` and
/// `seamldr_cleanup`.
pub(super) fn check_lp(cx: &Context<'_>) -> Outcome {
    let counted = (cx.config.lps[cx.lp].apic_id as usize) < MAX_LPS;
    if counted { Ok(()) } else { Err(Status::EUNSPECERR) }
}

/// A session of another kind may not be under way (1.5.02).
pub(super) fn check_flow(cx: &Context<'_>, flow: Flow) -> Outcome {
    let current = cx.world.loader.flow;
    if cx.config.loader >= LoaderGeneration::V1_5_02 && current != Flow::Ready && current != flow {
        return Err(Status::EBADCALL);
    }
    Ok(())
}
