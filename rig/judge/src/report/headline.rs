//! A run in one line, and how each invariant came out, in the words that all reports share.

use crate::finding::Standing;
use crate::verdict::{Outcome, Verdict};
use crate::{Attempt, Invariant};

/// Attempts that a headline tells one by one; of a longer run it tells the ones that failed.
const ATTEMPTS_TOLD: usize = 3;

/// A run in one line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Headline {
    /// `PASSED`, `AS EXPECTED`, `FAILED` and so on, in capitals.
    pub word: String,
    /// What came to pass.
    pub what: String,
}

impl Verdict {
    /// The run in one line. A pass that is no success, because the scenario expects a failure, says so.
    pub fn headline(&self) -> Headline {
        let word = if self.is_as_expected() { "AS EXPECTED".into() } else { self.verdict.name().to_uppercase() };
        Headline { word: word.replace('-', " "), what: self.what() }
    }

    /// Whether it passed because something failed, as the scenario expects.
    pub fn is_as_expected(&self) -> bool {
        let facts = &self.facts;
        let is_no_success =
            self.came_to.is_some() || facts.not_offered.is_some() || !facts.attempts.iter().all(Attempt::is_done);
        self.verdict == Outcome::Passed && is_no_success
    }

    fn what(&self) -> String {
        let facts = &self.facts;
        match (&self.reason, self.came_to) {
            (Some(reason), _) if self.verdict != Outcome::Passed => reason.clone(),
            (_, Some(outcome)) => self.expected_end(outcome),
            _ if self.is_as_expected() => match &facts.not_offered {
                Some(why) => why.clone(),
                None => told(&facts.attempts),
            },
            _ => {
                let updates = counted(u64::from(facts.updates), "update");
                format!("{updates} on {}", counted(u64::from(facts.cpus), "CPU"))
            }
        }
    }

    /// An end other than a pass that the scenario expects.
    fn expected_end(&self, outcome: Outcome) -> String {
        let broken: Vec<String> = self.breaches.iter().map(crate::Breach::summary).collect();
        match (outcome, broken.is_empty()) {
            (Outcome::Hung, _) => "the guest hangs, as the scenario expects".into(),
            (Outcome::GuestCrashed, _) => "the guest crashed, as the scenario expects".into(),
            (_, false) => format!("broke, as the scenario expects: {}", broken.join("; ")),
            (_, true) => format!("{}, as the scenario expects", outcome.name()),
        }
    }

    /// How an invariant came out, in words: what it demands and where it held, why it was not judged, or that its breach was expected.
    pub fn note(&self, invariant: Invariant) -> String {
        let demand = invariant.demand();
        let note = match self.standing(invariant) {
            Standing::NotApplicable => self.why_not_observed(invariant).unwrap_or("not observed").to_owned(),
            Standing::Broken if self.is_expected_breach(invariant) => {
                format!("broke, as the scenario expects: {demand}")
            }
            Standing::Broken => demand.to_owned(),
            Standing::Held => match self.scope(invariant) {
                Some(scope) => format!("{scope}: {demand}"),
                None => demand.to_owned(),
            },
        };
        if invariant == Invariant::Preservation { note + &self.lost_tds() } else { note }
    }

    /// TDs that were not preserved because no module is left that has them.
    fn lost_tds(&self) -> String {
        let lost = self.facts.attempts.iter().filter(|attempt| attempt.tds_lost > 0);
        let words: Vec<String> = lost
            .map(|attempt| {
                let tds = counted(u64::from(attempt.tds_lost), "TD");
                format!("; in update {} the module was lost, and {tds} with it", attempt.number)
            })
            .collect();
        words.concat()
    }

    /// Whether an invariant broke and the scenario expects that.
    pub fn is_expected_breach(&self, invariant: Invariant) -> bool {
        self.standing(invariant) == Standing::Broken && self.verdict == Outcome::Passed
    }

    /// Where an invariant held, when that is not every update: `held in update 1, not judged in update 2`.
    fn scope(&self, invariant: Invariant) -> Option<String> {
        let held = self.held_in.get(&invariant).filter(|held| !held.is_empty())?;
        let seen = self.statistics.updates.iter().map(|figures| figures.update);
        let others: Vec<u32> = seen.filter(|update| !held.contains(update)).collect();
        (!others.is_empty()).then(|| format!("held in {}, not judged in {}", updates(held), updates(&others)))
    }
}

/// The attempts in one line.
fn told(attempts: &[Attempt]) -> String {
    if attempts.len() <= ATTEMPTS_TOLD {
        return attempts.iter().map(Attempt::summary).collect::<Vec<_>>().join("; ");
    }
    let failed: Vec<&Attempt> = attempts.iter().filter(|attempt| !attempt.is_done()).collect();
    let done = attempts.len() - failed.len();
    let mut parts = vec![format!("{done} of {} updates done", attempts.len())];
    parts.extend(failed.iter().take(ATTEMPTS_TOLD).map(|attempt| attempt.summary()));
    if let Some(more) = failed.len().checked_sub(ATTEMPTS_TOLD).filter(|more| *more > 0) {
        parts.push(format!("{more} more failed"));
    }
    parts.join("; ")
}

/// `update 1` or `updates 1-3,5`.
fn updates(numbers: &[u32]) -> String {
    let runs = numbers.chunk_by(|a, b| a + 1 == *b).map(|run| match run {
        [first, .., last] => format!("{first}-{last}"),
        one => one.iter().map(u32::to_string).collect(),
    });
    let noun = if numbers.len() == 1 { "update" } else { "updates" };
    format!("{noun} {}", runs.collect::<Vec<_>>().join(","))
}

/// `1 update` or `2 updates`.
fn counted(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Synthetic, Twist};
    use crate::{AttemptOutcome, Facts};

    fn attempt(number: u32, outcome: AttemptOutcome) -> Attempt {
        Attempt {
            number,
            from: None,
            to: (outcome == AttemptOutcome::Done).then(|| format!("1.5.{:02}", 6 + number)),
            outcome,
            error: None,
            failed_call: None,
            tds_lost: 0,
        }
    }

    fn verdict(run: &Synthetic, attempts: Vec<Attempt>) -> Verdict {
        let facts = Facts { cpus: 4, updates: 1, attempts, ..Facts::default() };
        Verdict::new(facts, &run.judge().0, &run.end)
    }

    fn line(verdict: &Verdict) -> String {
        let Headline { word, what } = verdict.headline();
        format!("{word} {what}")
    }

    #[test]
    fn a_success_is_passed_and_an_expected_failure_is_not() {
        let run = Synthetic::plain(4, 1);
        let (done, lost) = (attempt(1, AttemptOutcome::Done), attempt(2, AttemptOutcome::Lost));
        assert_eq!(line(&verdict(&run, vec![done.clone()])), "PASSED 1 update on 4 CPUs");
        let both = verdict(&run, vec![done, lost]);
        assert_eq!(line(&both), "AS EXPECTED update 1 to 1.5.07 done; update 2 LOST the module");
        assert_eq!((both.verdict, both.exit_code), (Outcome::Passed, 0));
    }

    #[test]
    fn a_long_run_tells_its_failures() {
        let mut attempts: Vec<Attempt> = (1..=9).map(|number| attempt(number, AttemptOutcome::Done)).collect();
        attempts[6] = attempt(7, AttemptOutcome::NotEnded);
        assert_eq!(told(&attempts), "8 of 9 updates done; update 7 did not end");
        attempts[..5].iter_mut().for_each(|one| *one = attempt(one.number, AttemptOutcome::Unchanged));
        assert!(told(&attempts).ends_with("; 3 more failed"), "{}", told(&attempts));
        attempts.iter_mut().skip(3).for_each(|one| *one = attempt(one.number, AttemptOutcome::Done));
        assert!(told(&attempts).ends_with("update 3 failed, no module still runs"), "{}", told(&attempts));
    }

    #[test]
    fn tds_that_went_with_the_module_are_not_called_preserved() {
        let lost = Attempt { tds_lost: 2, ..attempt(2, AttemptOutcome::Lost) };
        let verdict = verdict(&Synthetic::new(4).boot().tds(2).update(), vec![attempt(1, AttemptOutcome::Done), lost]);
        let end = "runs again; in update 2 the module was lost, and 2 TDs with it";
        assert!(verdict.note(Invariant::Preservation).ends_with(end), "{}", verdict.note(Invariant::Preservation));
        assert!(!verdict.note(Invariant::Lockstep).contains("was lost"));
    }

    #[test]
    fn nothing_to_update_is_no_success() {
        let mut verdict = verdict(&Synthetic::plain(4, 0), Vec::new());
        verdict.facts.not_offered = Some("the kernel offers no update".into());
        assert_eq!(line(&verdict), "AS EXPECTED the kernel offers no update");
    }

    #[test]
    fn an_expected_breach_says_so_and_an_unexpected_one_does_not() {
        let mut verdict = verdict(&Synthetic::new(4).boot().twist(Twist::InitTwice).update(), Vec::new());
        assert!(line(&verdict).starts_with("FAILED participation, CPU 3"), "{}", line(&verdict));
        assert!(!verdict.note(Invariant::Participation).contains("expects"));
        (verdict.came_to, verdict.verdict) = (Some(verdict.verdict), Outcome::Passed);
        assert!(line(&verdict).starts_with("AS EXPECTED broke, as the scenario expects: participation, CPU 3"));
        assert!(verdict.note(Invariant::Participation).starts_with("broke, as the scenario expects: each online CPU"));
        verdict.came_to = Some(Outcome::Hung);
        assert_eq!(line(&verdict), "AS EXPECTED the guest hangs, as the scenario expects");
    }

    #[test]
    fn an_invariant_says_in_which_updates_it_held() {
        let mut verdict = verdict(&Synthetic::plain(4, 5), Vec::new());
        verdict.held_in = [(Invariant::Lockstep, vec![1, 2, 3, 5]), (Invariant::Progress, (1..=5).collect())].into();
        let demand = Invariant::Lockstep.demand();
        assert_eq!(
            verdict.note(Invariant::Lockstep),
            format!("held in updates 1-3,5, not judged in update 4: {demand}")
        );
        assert_eq!(verdict.note(Invariant::Progress), Invariant::Progress.demand());
        assert_eq!(verdict.note(Invariant::QuietKernel), Invariant::QuietKernel.demand());
    }
}
