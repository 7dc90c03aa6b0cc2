//! What must come of a run.

use super::{Endings, UpdateEnding, UploadError};
use rig_judge::Invariant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What must come of a run. Everything that is said here is checked, and a check whose input could not be read fails.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Expect {
    /// How the run itself must end.
    pub verdict: Ending,
    /// Invariants that must be found to hold, in place of those that follow from the scenario (`rig list --demands`).
    /// One that could not be judged fails the run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub held: Option<Vec<Invariant>>,
    /// Invariants that must be found broken, and no others; goes with `verdict = "failed"`.
    pub broken: Vec<Invariant>,
    /// The errno with which the subject's module must refuse to load; then there is no update.
    pub refused: Option<i32>,
    /// How the last update must end, or, as a list, how each of them must end.
    pub update: Endings,
    /// How many updates must succeed; absent: all of them when `update` is "updated", else not looked at.
    pub succeeded: Option<u32>,
    /// How many updates must succeed at the least.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub succeeded_at_least: Option<u32>,
    /// What `error` of the firmware upload must show after the last update, such as `firmware-invalid`, with or without the
    /// stage before it, as in `transferring:firmware-invalid`.
    pub update_error: Option<UploadError>,
    /// Kernel log lines (parts of them) that must have appeared. They do not break `quiet-kernel`.
    pub console: Vec<String>,
    /// Kernel log lines (parts of them) that do not break `quiet-kernel`, whether they appear or not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed_console: Vec<String>,
    /// How many of the TDs of `tds.count` must end with an error, because the module that ran them is gone. Their KeyIDs leak.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tds_lost: Option<u32>,
    /// The defect of the kernel that everything else here describes, such as "finding 2" (docs/findings.md). A run that
    /// shows it ends as XFAIL; one that ends as `repaired` says is reported as XPASS, which is a failure until this key
    /// is removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_defect: Option<String>,
    /// The refusal with which KVM must answer to the making of some TD; no other refusal may come.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub td_refused: Option<TdRefusal>,
    /// What trust domains leave in the firmware at the end; absent: nothing, or what TDs that are lost leave.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub leaked: Option<Leaked>,
    /// What comes of the run on a kernel without that defect. CPUs of `switch` are refused nothing there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repaired: Option<Box<Expect>>,
}

/// How a run ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Ending {
    /// All that is demanded held to the end.
    #[default]
    Passed,
    /// An invariant was broken.
    Failed,
    /// No progress.
    Hung,
    /// The kernel panicked.
    Crashed,
}

/// How KVM refuses to make a TD.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TdRefusal {
    /// The errno, such as 5 (`EIO`).
    pub errno: i32,
    /// Words of what the monitor says of it, such as `KVM_TDX_INIT_VM`; absent: any.
    #[serde(default)]
    pub words: String,
}

/// What trust domains leave in the firmware.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Leaked {
    /// TDs; absent: none.
    pub tds: usize,
    /// Pages of 4096 bytes; absent: none.
    pub pages: usize,
    /// KeyIDs; absent: none.
    pub keyids: usize,
}

impl Expect {
    /// Parts of kernel log lines that break nothing, with or without the known defect.
    pub fn allowed_lines(&self) -> Vec<String> {
        let own = self.console.iter().chain(&self.allowed_console).cloned();
        own.chain(self.repaired.iter().flat_map(|repaired| repaired.allowed_lines())).collect()
    }

    /// Says what contradicts itself, or the scenario's number of updates.
    pub(super) fn check(&self, updates: u32, keep_going: bool) -> Result<(), String> {
        match (&self.verdict, self.broken.is_empty()) {
            (Ending::Failed, true) => {
                return Err("`expect.verdict` is \"failed\": name in `expect.broken` what must be found broken".into());
            }
            (Ending::Passed | Ending::Hung | Ending::Crashed, false) => {
                return Err("`expect.broken` names invariants, but `expect.verdict` is not \"failed\"".into());
            }
            _ => {}
        }
        if let Some(key) = self.key_of_finished_runs().filter(|_| self.verdict != Ending::Passed) {
            return Err(format!(
                "`expect.{key}` is looked at in a run that comes to its end, but `expect.verdict` is not \"passed\""
            ));
        }
        if let Some(both) = self.held.iter().flatten().find(|held| self.broken.contains(held)) {
            return Err(format!("`expect.held` and `expect.broken` both name {both}"));
        }
        self.check_updates(updates, keep_going)?;
        match (&self.known_defect, &self.repaired) {
            (None, None) => Ok(()),
            (Some(_), None) => {
                Err("`expect.known_defect` names a defect: say in `expect.repaired` what comes without it".into())
            }
            (None, Some(_)) => Err("`expect.repaired` is there, but `expect.known_defect` names no defect".into()),
            (Some(name), Some(_)) if name.trim().is_empty() => {
                Err("`expect.known_defect` is empty; it must name the defect, such as \"finding 2\"".into())
            }
            (_, Some(repaired)) if repaired.known_defect.is_some() => {
                Err("`expect.repaired` has a `known_defect` of its own: leave it out".into())
            }
            (_, Some(repaired)) => {
                repaired.check(updates, keep_going).map_err(|cause| format!("`expect.repaired`: {cause}"))
            }
        }
    }

    /// A key that is there and that speaks of what only the end of a run shows.
    fn key_of_finished_runs(&self) -> Option<&'static str> {
        let keys = [
            ("refused", self.refused.is_some()),
            ("update", self.update != Endings::default()),
            ("succeeded", self.succeeded.is_some()),
            ("succeeded_at_least", self.succeeded_at_least.is_some()),
            ("update_error", self.update_error.is_some()),
            ("tds_lost", self.tds_lost.is_some()),
            ("td_refused", self.td_refused.is_some()),
            ("leaked", self.leaked.is_some()),
        ];
        keys.into_iter().find_map(|(key, is_there)| is_there.then_some(key))
    }

    fn check_updates(&self, updates: u32, keep_going: bool) -> Result<(), String> {
        for (key, number) in [("succeeded", self.succeeded), ("succeeded_at_least", self.succeeded_at_least)] {
            if let Some(number) = number.filter(|number| *number > updates) {
                return Err(format!("`expect.{key}` is {number}, but the scenario makes {updates} updates"));
            }
        }
        let Endings::Each(each) = &self.update else { return Ok(()) };
        if self.succeeded.or(self.succeeded_at_least).is_some() {
            return Err("`expect.update` says what each update comes to: leave out how many succeed".into());
        }
        if each.contains(&UpdateEnding::Absent) {
            return Err("`expect.update` is a list with \"absent\"; that no update is offered stands alone".into());
        }
        let failing = |ending: &UpdateEnding| matches!(ending, UpdateEnding::Unchanged | UpdateEnding::Lost);
        let stops = each.iter().position(failing).filter(|_| !keep_going).map(|at| at + 1);
        if let Some(made) = stops.filter(|made| *made < each.len()) {
            return Err(format!(
                "`expect.update` has {} endings, but no update follows number {made}, which fails: `keep_going = true` goes on after a failure",
                each.len()
            ));
        }
        if stops.is_none() && each.len() != updates as usize {
            return Err(format!("`expect.update` has {} endings; the scenario makes {updates} updates", each.len()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use UpdateEnding::{Absent, Lost, Unchanged, Updated};

    #[expect(clippy::needless_pass_by_value, reason = "each test makes its own")]
    fn refused(expect: Expect, updates: u32) -> String {
        expect.check(updates, false).unwrap_err()
    }

    fn each(endings: &[UpdateEnding]) -> Expect {
        Expect { update: Endings::Each(endings.to_vec()), ..Expect::default() }
    }

    #[test]
    fn can_say_what_each_update_comes_to() {
        assert_eq!(each(&[Updated, Lost]).check(2, false), Ok(()));
        assert_eq!(each(&[Unchanged, Updated]).check(2, true), Ok(()));
        assert_eq!(each(&[Lost]).check(5, false), Ok(()), "the first failure is the last update");
    }

    #[test]
    fn cannot_speak_of_updates_that_are_not_made() {
        assert!(refused(each(&[Unchanged, Updated]), 2).contains("keep_going"));
        assert!(refused(each(&[Updated]), 2).contains("makes 2 updates"));
        assert!(refused(each(&[Absent]), 1).contains("absent"));
        assert!(refused(Expect { succeeded: Some(3), ..Expect::default() }, 2).contains("`expect.succeeded`"));
        assert!(refused(Expect { succeeded_at_least: Some(3), ..Expect::default() }, 2).contains("at_least"));
        assert!(refused(Expect { succeeded: Some(1), ..each(&[Updated, Lost]) }, 2).contains("leave out"));
    }

    #[test]
    fn a_failure_must_be_named() {
        let failed = Expect { verdict: Ending::Failed, ..Expect::default() };
        assert!(refused(failed.clone(), 1).contains("`expect.broken`"));
        let broken = Expect { broken: vec![Invariant::Lockstep], ..failed };
        assert_eq!(broken.check(1, false), Ok(()));
        assert!(refused(Expect { held: Some(vec![Invariant::Lockstep]), ..broken }, 1).contains("both name lockstep"));
        let unseen = Expect { verdict: Ending::Hung, ..each(&[Lost]) };
        assert!(refused(unseen, 1).contains("`expect.update` is looked at"));
        let passed = Expect { broken: vec![Invariant::Lockstep], ..Expect::default() };
        assert!(refused(passed, 1).contains("`expect.broken`"));
    }

    #[test]
    fn a_known_defect_needs_what_comes_without_it() {
        let defect = Expect { known_defect: Some("finding 2".into()), ..Expect::default() };
        assert!(refused(defect.clone(), 1).contains("`expect.repaired`"));
        let repaired = Expect { repaired: Some(Box::default()), ..defect.clone() };
        assert_eq!(repaired.check(1, false), Ok(()));
        let alone = Expect { known_defect: None, ..repaired };
        assert!(refused(alone, 1).contains("`expect.known_defect`"));
        let wrong = Expect { repaired: Some(Box::new(each(&[Updated, Updated]))), ..defect };
        assert!(refused(wrong, 1).contains("`expect.repaired`: `expect.update`"));
    }
}
