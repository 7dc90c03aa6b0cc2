//! What happened in a change, beside the events.

use crate::failure::Words;
use rig_judge::verdict::Check;
use rig_wire::agent::LoadReport;
use std::ops::ControlFlow;
use std::time::Duration;

/// A callback that reports progress while it happens.
pub(super) type Say<'a> = &'a dyn Fn(&str);

/// What happened.
#[derive(Debug, Default)]
pub(super) struct Story {
    /// Updates that succeeded.
    pub(super) succeeded: u32,
    /// What was wanted and what came.
    pub(super) checks: Vec<Check>,
    /// Why an update failed.
    pub(super) failure: Option<Words>,
    /// Why not all events, or not all of the kernel's log, were recorded.
    pub(super) lost: Option<String>,
    /// Why not all updates were made, or what went wrong beside them; the first comes first.
    pub(super) troubles: Vec<Words>,
    /// What could not be put back as it was.
    pub(super) unrestored: Vec<String>,
    /// The module at the end.
    pub(super) after: Option<String>,
    /// All uploads.
    pub(super) updating: Duration,
    /// The whole command.
    pub(super) total: Duration,
    /// What the loads did.
    pub(super) loads: Vec<LoadReport>,
}

impl Story {
    /// No update follows, for this reason.
    pub(super) fn stop(&mut self, why: impl Into<Words>) -> ControlFlow<()> {
        self.troubles.push(why.into());
        ControlFlow::Break(())
    }

    /// Records that something of the recording was lost; the first loss is the one that is reported.
    pub(super) fn lose(&mut self, why: Option<String>) {
        self.lost = self.lost.take().or(why);
    }

    /// Compares what was wanted with what came.
    pub(super) fn check(&mut self, name: &str, expected: &str, seen: &str) {
        let met = expected == seen;
        self.checks.push(Check { name: name.into(), expected: expected.into(), seen: seen.into(), met });
    }
}
