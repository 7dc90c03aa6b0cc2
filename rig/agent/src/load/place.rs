//! Where loads work.

use crate::gate::Gate;
use crate::machine::Machine;
use std::sync::Arc;

/// Where loads work: the machine, and the gate between them and its updates.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) machine: Machine,
    pub(super) gate: Arc<Gate>,
}
