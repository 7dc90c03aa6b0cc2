//! The result of one repetition of a schedule, and what that says of the subject.

use crate::run::{EndCause, Judged};
use crate::trouble::Trouble;
use rig_judge::{Outcome, Verdict};
use serde::Serialize;

/// What a repetition says of the subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RepetitionJudgement {
    /// It failed: an invariant broke, it hung or it crashed.
    Failed,
    /// It was judged to its end, and nothing broke.
    Passed,
    /// Nothing: the rig failed, or a person ended it.
    NotJudged,
}

impl RepetitionJudgement {
    const fn of(outcome: Outcome) -> Self {
        match outcome {
            Outcome::Failed | Outcome::Xpass | Outcome::Hung | Outcome::GuestCrashed => Self::Failed,
            Outcome::Passed | Outcome::Xfail => Self::Passed,
            Outcome::RigError | Outcome::Unjudged | Outcome::Skipped => Self::NotJudged,
        }
    }
}

/// The result of one repetition.
#[derive(Clone, Debug, Serialize)]
pub struct Repetition {
    /// What it says of the subject.
    pub judgement: RepetitionJudgement,
    /// Why it did not pass.
    pub reason: Option<String>,
    /// Its verdict; none when no machine ran.
    pub verdict: Option<Verdict>,
    /// Digest of its timeline, which only deterministic runs repeat.
    pub digest: Option<String>,
    /// Whether a person ended it, who wants no other either.
    pub interrupted: bool,
}

impl From<Judged> for Repetition {
    fn from(Judged { verdict, cause }: Judged) -> Self {
        let interrupted = cause == EndCause::Person;
        let judgement =
            if interrupted { RepetitionJudgement::NotJudged } else { RepetitionJudgement::of(verdict.verdict) };
        let (reason, digest) = (verdict.reason.clone(), verdict.facts.digest.clone());
        Self { judgement, reason, digest, interrupted, verdict: Some(verdict) }
    }
}

impl From<Trouble> for Repetition {
    fn from(trouble: Trouble) -> Self {
        let reason = Some(trouble.cause);
        Self { judgement: RepetitionJudgement::NotJudged, reason, verdict: None, digest: None, interrupted: false }
    }
}
