//! One upload of a module image: what the kernel said of it, and what ran before and after.

use crate::scenario::UpdateEnding;
use rig_wire::agent::UploadOutcome;

/// One upload of a module image.
#[derive(Clone, Debug)]
pub(crate) struct Upload {
    /// What the kernel said.
    pub(crate) outcome: UploadOutcome,
    /// The version that ran before; none: no module.
    pub(crate) before: Option<String>,
    /// The version that the image brings, where that is known.
    pub(crate) wanted: Option<String>,
    /// The version read back; none: no module.
    pub(crate) after: Option<String>,
}

impl Upload {
    /// Whether the kernel reported success.
    pub(crate) fn succeeded(&self) -> bool {
        self.outcome.error.is_empty() && self.outcome.errno.is_none()
    }

    /// Whether it got as far as `stop_machine`; none: the version that was read back does not show it. An upload that
    /// the kernel refuses to take does not; one that succeeds, or takes the module away, does.
    pub(crate) fn reached_section(&self) -> Option<bool> {
        let lost = self.before.is_some() && self.after.is_none();
        match self.outcome.errno {
            Some(_) => Some(lost),
            None => (self.succeeded() || lost).then_some(true),
        }
    }

    /// How it ended, as a kind and in words; no kind when the kernel's report contradicts what runs.
    pub(crate) fn ending(&self) -> (Option<UpdateEnding>, String) {
        let ending = match (self.succeeded(), &self.after) {
            (true, None) => return (None, "reported as done, but no module runs".into()),
            (true, Some(version)) => match &self.wanted {
                Some(wanted) if wanted != version => {
                    return (None, format!("reported as done, but {version} runs and not {wanted}"));
                }
                None if self.before == self.after => {
                    return (None, format!("reported as done, but {version} runs as before"));
                }
                _ => UpdateEnding::Updated,
            },
            (false, None) => UpdateEnding::Lost,
            (false, Some(_)) if self.before == self.after => UpdateEnding::Unchanged,
            (false, Some(version)) => {
                let before = self.before.as_deref().unwrap_or("no module");
                return (None, format!("reported as failed, but {version} runs in place of {before}"));
            }
        };
        (Some(ending), format!("{}{}", in_words(ending), self.why()))
    }

    fn why(&self) -> String {
        match (self.outcome.errno, self.outcome.error.as_str()) {
            (Some(errno), _) => format!(" (errno {errno})"),
            (None, "") => String::new(),
            (None, error) => format!(" ({error})"),
        }
    }
}

/// An ending in the words of a check.
pub(crate) const fn in_words(ending: UpdateEnding) -> &'static str {
    match ending {
        UpdateEnding::Updated => "updated",
        UpdateEnding::Unchanged => "failed, old module still runs",
        UpdateEnding::Lost => "failed, no module runs",
        UpdateEnding::ModuleRuns => "a module runs",
        UpdateEnding::Absent => "no update offered",
    }
}

/// Whether the ending is the expected one.
pub(crate) fn is_met(expected: UpdateEnding, ending: Option<UpdateEnding>) -> bool {
    match expected {
        UpdateEnding::ModuleRuns => matches!(ending, Some(UpdateEnding::Updated | UpdateEnding::Unchanged)),
        expected => ending == Some(expected),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(in crate::run) fn upload(error: &str, after: Option<&str>) -> Upload {
        let outcome = UploadOutcome { status: "idle".into(), error: error.into(), errno: None, duration_us: 1 };
        let [before, wanted] = ["1.5.06", "1.5.07"].map(|version| Some(version.to_owned()));
        Upload { outcome, before, wanted, after: after.map(Into::into) }
    }

    const FAILED: &str = "transferring:firmware-invalid";

    #[test]
    fn what_runs_and_what_the_kernel_says_make_an_ending() {
        let ending = |error: &str, after| upload(error, after).ending().0;
        assert_eq!(ending("", Some("1.5.07")), Some(UpdateEnding::Updated));
        assert_eq!(ending(FAILED, Some("1.5.06")), Some(UpdateEnding::Unchanged));
        assert_eq!(ending(FAILED, None), Some(UpdateEnding::Lost));
    }

    #[test]
    fn a_report_that_contradicts_what_runs_is_no_ending() {
        for (error, after, words) in [
            ("", None, "reported as done, but no module runs"),
            ("", Some("1.5.06"), "reported as done, but 1.5.06 runs and not 1.5.07"),
            (FAILED, Some("1.5.07"), "reported as failed, but 1.5.07 runs in place of 1.5.06"),
            (FAILED, Some("1.4.00"), "reported as failed, but 1.4.00 runs in place of 1.5.06"),
        ] {
            assert_eq!(upload(error, after).ending(), (None, words.to_owned()));
        }
        let unknown = Upload { wanted: None, ..upload("", Some("1.5.06")) };
        assert_eq!(unknown.ending(), (None, "reported as done, but 1.5.06 runs as before".to_owned()));
        let unknown = Upload { wanted: None, ..upload("", Some("1.5.09")) };
        assert_eq!(unknown.ending().0, Some(UpdateEnding::Updated), "a file need not have a version");
        let gone = Upload { before: None, ..upload(FAILED, Some("1.5.06")) };
        assert_eq!(gone.ending().0, None, "a module does not come back by a failed update");
    }

    #[test]
    fn a_module_that_runs_is_the_old_or_the_new_one() {
        let met = |ending| is_met(UpdateEnding::ModuleRuns, ending);
        assert!(met(Some(UpdateEnding::Updated)) && met(Some(UpdateEnding::Unchanged)));
        assert!(!met(Some(UpdateEnding::Lost)) && !met(None));
    }

    #[test]
    fn what_was_read_back_shows_whether_the_section_was_reached() {
        assert_eq!(upload("", Some("1.5.07")).reached_section(), Some(true));
        assert_eq!(upload(FAILED, None).reached_section(), Some(true));
        assert_eq!(upload(FAILED, Some("1.5.06")).reached_section(), None, "before SHUTDOWN or in it");
        let again = Upload { before: None, ..upload(FAILED, None) };
        assert_eq!(again.reached_section(), None, "no module before, none after");
        let mut refused = upload("", Some("1.5.06"));
        refused.outcome.errno = Some(22);
        assert_eq!(refused.reached_section(), Some(false));
    }
}
