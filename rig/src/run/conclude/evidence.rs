//! What an expectation is held against.

use super::recorded::Recorded;
use crate::run::record::told::Told;
use rig_judge::verdict::HoldReport;
use rig_judge::{Findings, RunEnd};

/// All that was seen of a run, as far as an expectation can be held against it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen<'a> {
    /// What the guest told.
    pub(super) told: &'a Told,
    /// How it ended.
    pub(super) end: &'a RunEnd,
    /// What the judge found.
    pub(super) findings: &'a Findings,
    /// What the recording shows beside that.
    pub(super) recorded: &'a Recorded,
    /// What became of the holds.
    pub(super) holds: &'a [HoldReport],
    /// All that the kernel said.
    pub(super) log: &'a str,
    /// Nothing was recorded, because nobody wanted it.
    pub(super) blind: bool,
    /// The run is one machine of an exploration, which makes other updates than the scenario says, under other holds.
    pub(super) exploring: bool,
}
