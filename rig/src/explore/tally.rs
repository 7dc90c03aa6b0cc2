//! Counts of the results of repetitions of one schedule.

use super::repetition::{Repetition, RepetitionJudgement};
use crate::trouble::Exit;
use serde::Serialize;

/// Counts of repetitions by their results. Those that were asked for and not begun, since a person ended the command, are
/// counted, too.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// The subject failed.
    pub failed: u32,
    /// Judged to its end, and passed.
    pub passed: u32,
    /// The rig failed, or a person ended it: nothing is said of the subject.
    pub not_judged: u32,
    /// Asked for and not begun.
    pub not_run: u32,
}

impl Tally {
    /// Of these repetitions, where so many were asked for.
    pub fn of(repetitions: &[Repetition], asked: u32) -> Self {
        let mut tally = Self { not_run: asked, ..Self::default() };
        for repetition in repetitions {
            tally.add(repetition.judgement);
        }
        tally
    }

    /// Counts a repetition.
    pub const fn add(&mut self, judgement: RepetitionJudgement) {
        self.not_run = self.not_run.saturating_sub(1);
        match judgement {
            RepetitionJudgement::Failed => self.failed += 1,
            RepetitionJudgement::Passed => self.passed += 1,
            RepetitionJudgement::NotJudged => self.not_judged += 1,
        }
    }

    /// Passed is only what was judged as often as it was asked for, and never failed.
    pub const fn exit(self) -> Exit {
        match self {
            Self { failed: 1.., .. } => Exit::Failed,
            Self { not_judged: 0, not_run: 0, passed: 1.., .. } => Exit::Passed,
            _ => Exit::Environment,
        }
    }

    /// For people.
    pub fn text(self) -> String {
        let Self { failed, passed, not_judged, not_run } = self;
        let asked = failed + passed + not_judged + not_run;
        let rest = [(not_judged, "not judged"), (not_run, "not run")];
        let rest = rest.iter().filter(|(count, _)| *count > 0).map(|(count, what)| format!(", {count} {what}"));
        format!("{failed} of {asked} failed, {passed} passed{}", rest.collect::<String>())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tally(failed: u32, passed: u32, not_judged: u32, not_run: u32) -> Tally {
        Tally { failed, passed, not_judged, not_run }
    }

    #[test]
    fn only_repetitions_that_were_all_judged_pass() {
        assert_eq!(tally(0, 20, 0, 0).exit(), Exit::Passed);
        assert_eq!(tally(0, 0, 20, 0).exit(), Exit::Environment, "twenty errors of the rig");
        assert_eq!(tally(0, 19, 1, 0).exit(), Exit::Environment);
        assert_eq!(tally(0, 7, 1, 12).exit(), Exit::Environment, "Ctrl-C");
        assert_eq!(tally(0, 19, 0, 1).exit(), Exit::Environment);
        assert_eq!(tally(1, 18, 1, 0).exit(), Exit::Failed);
        assert_eq!(Tally::default().exit(), Exit::Environment);
    }

    #[test]
    fn the_text_has_all_counts() {
        assert_eq!(tally(2, 5, 1, 12).text(), "2 of 20 failed, 5 passed, 1 not judged, 12 not run");
        assert_eq!(tally(0, 1, 0, 0).text(), "0 of 1 failed, 1 passed");
        let mut counted = Tally { not_run: 3, ..Tally::default() };
        for judgement in [RepetitionJudgement::Failed, RepetitionJudgement::NotJudged] {
            counted.add(judgement);
        }
        assert_eq!(counted, tally(1, 0, 1, 1));
    }
}
