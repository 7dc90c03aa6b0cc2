//! What the judge found, of each invariant and beside them.

use crate::Invariant;
use crate::finding::Finding;
use crate::form::Malformed;
use crate::stats::Statistics;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// What was found at the end of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Findings {
    /// Each invariant.
    pub invariants: BTreeMap<Invariant, Finding>,
    /// Leaves that the emulated firmware does not model but the guest called.
    pub unmodelled: Vec<Unmodelled>,
    /// Updates that were seen to begin.
    pub updates: u32,
    /// How long things took.
    pub statistics: Statistics,
    /// Events of the guest that were judged.
    pub events: u64,
    /// What is wrong with the recording itself; then nothing is said of the subject.
    pub fault: Option<Malformed>,
    /// The first report of the kernel that says nothing of the kernel, and why: the host took time from the machine, or the
    /// emulator has a defect that looks so. None: there was none.
    pub infrastructure: Option<String>,
}

/// A leaf that the emulated firmware does not model and answered as firmware without it would.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Unmodelled {
    /// RAX at entry.
    pub leaf: u64,
    /// Its name where known.
    pub name: String,
    /// How often it was called.
    pub calls: u64,
}
