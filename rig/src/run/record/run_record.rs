//! All that is known when a run has ended.

use super::description::RunDescription;
use super::guest_report::GuestReport;
use rig_judge::verdict::{Diagnosis, Start};
use rig_judge::{Findings, RunEnd};
use rig_wire::plan::Hold;
use std::time::Duration;

/// All that is known when a run has ended.
pub(crate) struct RunRecord {
    /// What was run.
    pub(crate) description: RunDescription,
    /// The conditions under which it ran.
    pub(crate) conditions: RunConditions,
    /// What the guest reported.
    pub(crate) guest: GuestReport,
    /// How it ended.
    pub(crate) end: RunEnd,
    /// Whether a person ended it.
    pub(crate) interrupted: bool,
    /// What the judge found.
    pub(crate) findings: Findings,
    /// Digest of the timeline, where a repetition has the same.
    pub(crate) digest: Option<String>,
    /// What was found in the machine before it was ended early.
    pub(crate) examined: ExaminedMachine,
    /// What it took of the host's time.
    pub(crate) times: RunTimes,
}

/// The conditions under which a run was made.
pub(crate) struct RunConditions {
    /// How its machine came up.
    pub(crate) start: Start,
    /// The holds of each update.
    pub(crate) schedules: Vec<Vec<Hold>>,
    /// The run was made without recording.
    pub(crate) blind: bool,
    /// The run is one machine of an exploration, which makes other updates than the scenario says, under other holds.
    pub(crate) exploring: bool,
}

/// What was found in a machine before it was ended early.
#[derive(Default)]
pub(crate) struct ExaminedMachine {
    /// Where everything was, after a hang.
    pub(crate) diagnosis: Option<Diagnosis>,
    /// What the emulated firmware said of its module, after a breach.
    pub(crate) module_in_firmware: Option<String>,
}

/// Host time that a run took.
pub(crate) struct RunTimes {
    /// From the machine's start to its judged end.
    pub(crate) machine: Duration,
    /// The whole command.
    pub(crate) total: Duration,
}
