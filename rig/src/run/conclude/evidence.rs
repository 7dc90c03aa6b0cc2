//! The evidence of a run, with which expectations are compared.

use super::recorded::Recorded;
use crate::run::record::guest_report::GuestReport;
use rig_judge::verdict::HoldReport;
use rig_judge::{Findings, Invariant, RunEnd};
use std::collections::BTreeMap;

/// All that was observed of a run, as far as expectations concern it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Evidence<'a> {
    /// What the guest reported.
    pub(super) guest: &'a GuestReport,
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
    /// Invariants of which only a part could be seen, and why.
    pub(super) unobservable: &'a BTreeMap<Invariant, String>,
    /// The run was made without recording.
    pub(super) blind: bool,
    /// The run is one machine of an exploration, which makes other updates than the scenario says, under other holds.
    pub(super) exploring: bool,
}
