//! Sessions that span all LPs: one kind at a time.

use super::loader::Flow;
use crate::LoaderGeneration;
use crate::abi::Status;
use crate::context::{Context, Outcome};

/// A session of another kind may not be under way (1.5.02).
pub(super) fn check_flow(cx: &Context<'_>, flow: Flow) -> Outcome {
    let current = cx.world.loader.flow;
    if cx.config.loader >= LoaderGeneration::V1_5_02 && current != Flow::Ready && current != flow {
        return Err(Status::EBADCALL);
    }
    Ok(())
}
