//! How a prepared machine is started.

use super::observer::orders::Orders;
use super::snapshot::saved::Snapshot;
use rig_judge::verdict;
use std::sync::Arc;
use std::time::Instant;

/// How a run's machine comes up.
#[derive(Clone, Debug)]
pub(crate) enum Start {
    /// It boots, for this reason.
    Boot(String),
    /// It goes on where a booted one was saved.
    Restore(Snapshot),
}

impl Start {
    /// The snapshot from which the machine goes on; none: it boots.
    pub(crate) fn snapshot(&self) -> Option<&Snapshot> {
        match self {
            Self::Boot(_) => None,
            Self::Restore(snapshot) => Some(snapshot),
        }
    }

    /// As verdicts report it.
    pub(super) fn in_verdict(&self) -> verdict::Start {
        let (from, reason) = match self {
            Self::Boot(reason) => ("boot", reason.as_str()),
            Self::Restore(_) => (verdict::Start::SNAPSHOT, "one of a machine that booted in the same way"),
        };
        verdict::Start { from: from.into(), reason: reason.into() }
    }
}

/// How one machine is started.
pub(crate) struct Launch {
    /// How it comes up.
    pub(crate) start: Start,
    /// Orders of accesses that were observed, over all machines of an exploration; none: the run is none of one.
    pub(crate) orders: Option<Arc<Orders>>,
    /// When the command began.
    pub(crate) total: Instant,
}
