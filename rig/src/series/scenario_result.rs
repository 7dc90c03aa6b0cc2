//! What one scenario came to on one kernel.

use crate::suite::Ran;
use rig_judge::Outcome;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// What one scenario came to on one kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScenarioResult {
    /// The scenario's name.
    pub scenario: String,
    /// How the run ended.
    pub outcome: Outcome,
    /// Names of the invariants that broke, else of the checks that were not met; empty: the outcome says all.
    pub by: Vec<String>,
    /// Why the run did not pass, in one line.
    pub reason: Option<String>,
    /// Host time that it took, milliseconds.
    pub time_ms: u64,
    /// Its evidence; none when the run could not be prepared.
    pub run_dir: Option<PathBuf>,
}

impl ScenarioResult {
    /// Whether it says anything of the kernel.
    pub fn is_judged(&self) -> bool {
        !matches!(self.outcome, Outcome::RigError | Outcome::Unjudged | Outcome::Skipped)
    }

    /// The outcome, with what broke.
    pub fn words(&self) -> String {
        if self.by.is_empty() {
            self.outcome.name().to_owned()
        } else {
            format!("{} ({})", self.outcome.name(), self.by.join(", "))
        }
    }

    /// The page that shows the run.
    pub fn report(&self) -> Option<PathBuf> {
        self.run_dir.as_ref().map(|folder| folder.join("report.html"))
    }
}

impl From<Ran> for ScenarioResult {
    fn from(ran: Ran) -> Self {
        let Ran { scenario, verdict, reason, unmet, time_ms, run_dir, .. } = ran;
        Self { scenario, outcome: verdict, by: unmet, reason, time_ms, run_dir }
    }
}
