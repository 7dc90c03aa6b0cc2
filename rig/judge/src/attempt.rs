//! One attempt to update the module, and what became of it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One upload of a module image, as the uploader and the judge saw it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Attempt {
    /// Which attempt of the run, from 1.
    pub number: u32,
    /// Version of the module that ran before it; none: no module ran.
    pub from: Option<String>,
    /// Version that was read back after it; none: no module runs, or nothing was read back (see `outcome`).
    pub to: Option<String>,
    /// What became of it.
    pub outcome: AttemptOutcome,
    /// What the kernel told the uploader, such as `transferring:firmware-invalid` or `errno 16`; none: success, or nothing.
    pub error: Option<String>,
    /// The first SEAMCALL of the update that failed.
    pub failed_call: Option<FailedCall>,
    /// TDs that the old module had at SHUTDOWN and that no module has after the attempt.
    pub tds_lost: u32,
}

/// What became of an attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum AttemptOutcome {
    /// The kernel reported success, and a module runs.
    Done,
    /// The kernel reported a failure, and the old module still runs.
    Unchanged,
    /// The kernel reported a failure, and no module runs any more.
    Lost,
    /// What the kernel reported and what runs contradict each other.
    Contradictory,
    /// The run ended before the attempt did.
    NotEnded,
}

/// A SEAMCALL that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedCall {
    /// The LP that made it.
    pub lp: u16,
    /// The leaf's name.
    pub leaf: String,
    /// The status's name and number, such as `ENOENTROPY (0x8000000000030001)`.
    pub status: String,
}

impl Attempt {
    /// Whether it came to what an update is for.
    pub fn is_done(&self) -> bool {
        self.outcome == AttemptOutcome::Done
    }

    /// The attempt in a few words: `update 2 LOST the module (CPU 2: INSTALL ENOENTROPY) and 2 TDs`.
    pub fn summary(&self) -> String {
        let (number, cause) = (self.number, self.cause());
        let to = self.to.as_deref().unwrap_or("no module");
        match self.outcome {
            AttemptOutcome::Done => format!("update {number} to {to} done"),
            AttemptOutcome::Unchanged => format!("update {number} failed{cause}, {to} still runs"),
            AttemptOutcome::Lost => format!("update {number} LOST the module{cause}{}", self.lost_tds()),
            AttemptOutcome::Contradictory if self.error.is_none() => {
                format!("update {number} was reported as done, but {to} runs")
            }
            AttemptOutcome::Contradictory => {
                format!("update {number} was reported as failed{cause}, but {to} runs")
            }
            AttemptOutcome::NotEnded => format!("update {number} did not end{cause}"),
        }
    }

    /// Why it failed: the SEAMCALL, else what the uploader was told.
    fn cause(&self) -> String {
        match (&self.failed_call, &self.error) {
            (Some(FailedCall { lp, leaf, status }), _) => {
                // The name alone: the number stands in the list of events.
                let name = status.split(" (").next().unwrap_or_default();
                format!(" (CPU {lp}: {leaf} {name})")
            }
            (None, Some(error)) => format!(" ({error})"),
            (None, None) => String::new(),
        }
    }

    fn lost_tds(&self) -> String {
        match self.tds_lost {
            0 => String::new(),
            1 => " and 1 TD".into(),
            tds => format!(" and {tds} TDs"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attempt(outcome: AttemptOutcome, to: Option<&str>) -> Attempt {
        Attempt {
            number: 2,
            from: Some("1.5.07".into()),
            to: to.map(Into::into),
            outcome,
            error: None,
            failed_call: None,
            tds_lost: 0,
        }
    }

    #[test]
    fn each_outcome_has_its_sentence() {
        let failed_call =
            Some(FailedCall { lp: 2, leaf: "INSTALL".into(), status: "ENOENTROPY (0x8000000000030001)".into() });
        let error = Some("firmware-invalid".to_owned());
        let table = [
            (attempt(AttemptOutcome::Done, Some("1.5.08")), "update 2 to 1.5.08 done"),
            (
                Attempt { error: error.clone(), ..attempt(AttemptOutcome::Unchanged, Some("1.5.07")) },
                "update 2 failed (firmware-invalid), 1.5.07 still runs",
            ),
            (
                Attempt { failed_call, error: error.clone(), tds_lost: 2, ..attempt(AttemptOutcome::Lost, None) },
                "update 2 LOST the module (CPU 2: INSTALL ENOENTROPY) and 2 TDs",
            ),
            (attempt(AttemptOutcome::Contradictory, None), "update 2 was reported as done, but no module runs"),
            (
                Attempt { error, ..attempt(AttemptOutcome::Contradictory, Some("1.5.08")) },
                "update 2 was reported as failed (firmware-invalid), but 1.5.08 runs",
            ),
            (attempt(AttemptOutcome::NotEnded, None), "update 2 did not end"),
            (Attempt { tds_lost: 1, ..attempt(AttemptOutcome::Lost, None) }, "update 2 LOST the module and 1 TD"),
            (attempt(AttemptOutcome::Lost, None), "update 2 LOST the module"),
        ];
        for (attempt, expected) in table {
            assert_eq!(attempt.summary(), expected);
            assert_eq!(attempt.is_done(), attempt.outcome == AttemptOutcome::Done);
        }
    }
}
