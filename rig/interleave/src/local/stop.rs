//! What ends a private run.

use super::vcpu::{Input, Pending};
use crate::error::Unprovable;

/// Why a private run does not go on.
#[derive(Clone, Debug)]
pub enum Stop {
    /// The next operation is one that others can notice.
    At(Pending),
    /// Something that was assumed is false: the exploration starts again, knowing better. In words.
    Restart(String),
    /// This private state was not executed with this input yet.
    Unexecuted {
        /// The number of the private state.
        local: u32,
        /// The input.
        input: Input,
    },
    /// There will be no verdict.
    Unprovable(Unprovable),
}

impl From<Unprovable> for Stop {
    fn from(error: Unprovable) -> Self {
        Self::Unprovable(error)
    }
}
