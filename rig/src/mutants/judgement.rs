//! What came of a mutant.

use rig_judge::Outcome;
use serde::{Deserialize, Serialize};

/// What came of a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "kebab-case")]
pub enum Judgement {
    /// The compiler refuses it.
    Uncompiled {
        /// Its first error.
        error: String,
    },
    /// The compiler makes the same object file of it as of another source.
    SameCode {
        /// The mutant whose code it is; none: the unmodified kernel's.
        of: Option<String>,
    },
    /// A scenario noticed.
    Caught {
        /// Which one.
        scenario: String,
        /// How that run ended.
        outcome: Outcome,
        /// Names of the invariants that broke, else of the scenario's checks that were not met; empty: the outcome says all.
        by: Vec<String>,
        /// Why the run did not pass, in one line.
        reason: Option<String>,
    },
    /// The rig refuses the kernel as one that cannot be judged, which cannot be mistaken for a pass.
    Refused {
        /// The scenario.
        scenario: String,
        /// Why.
        reason: String,
    },
    /// All its scenarios passed.
    Passed {
        /// Which ones.
        scenarios: Vec<String>,
    },
    /// The rig or this machine failed, so nothing can be said.
    Unjudged {
        /// The scenario without a verdict.
        scenario: String,
        /// Why.
        reason: String,
    },
}
