//! One schedule again, and the smallest one that still fails.

use super::repetition::{Repetition, RepetitionJudgement};
use super::tally::Tally;
use crate::run::{Guests, Judged, UpdatableGuest, UpdateAttempt};
use crate::scenario::{HoldSpec, UntilSpec};
use crate::trouble::{Exit, Trouble};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// One update under the last of these lists of holds, after updates under the others, in a guest of its own; the evidence goes
/// to `folder`, which is made. Trouble of the rig is a result of the repetition; only a mistake of the caller is an error.
pub fn once(guests: &impl Guests, lists: &[Vec<HoldSpec>], folder: &Path) -> Result<Repetition, Trouble> {
    match judged(guests, lists, folder) {
        Ok(judged) => Ok(judged.into()),
        Err(trouble) if trouble.exit == Exit::Usage => Err(trouble),
        Err(trouble) => Ok(trouble.into()),
    }
}

fn judged(guests: &impl Guests, lists: &[Vec<HoldSpec>], folder: &Path) -> Result<Judged, Trouble> {
    std::fs::create_dir_all(folder).map_err(|e| Trouble::file("make", folder, &e))?;
    let mut guest = guests.start(folder)?;
    if guest.ready() {
        for holds in lists {
            if let UpdateAttempt::Last(_) = guest.update(holds)? {
                break;
            }
        }
    }
    guest.end()
}

/// As many repetitions as asked for, each in a folder of its number; none after a person ended one. Each is shown as it ends.
pub fn many(
    guests: &impl Guests,
    lists: &[Vec<HoldSpec>],
    (folder, times): (&Path, u32),
    mut show: impl FnMut(u32, &Repetition),
) -> Result<Vec<Repetition>, Trouble> {
    let mut all: Vec<Repetition> = Vec::new();
    for number in 1..=times {
        let repetition = once(guests, lists, &folder.join(number.to_string()))?;
        show(number, &repetition);
        let last = repetition.interrupted;
        all.push(repetition);
        if last {
            break;
        }
    }
    Ok(all)
}

/// The holds of each of so many updates.
pub fn by_update(holds: &[HoldSpec], updates: u32) -> Vec<Vec<HoldSpec>> {
    let is_in = |hold: &&HoldSpec, number| hold.update.is_none_or(|update| update == number);
    (1..=updates).map(|number| holds.iter().filter(|hold| is_in(hold, number)).cloned().collect()).collect()
}

/// The inverse of [`by_update`].
pub fn numbered(lists: &[Vec<HoldSpec>]) -> Vec<HoldSpec> {
    let number = |(list, update): (&Vec<HoldSpec>, u32)| {
        list.iter().map(|hold| HoldSpec { update: Some(update), ..hold.clone() }).collect::<Vec<_>>()
    };
    lists.iter().zip(1..).flat_map(number).collect()
}

/// The same without its first update.
pub fn without_first(holds: &[HoldSpec]) -> Vec<HoldSpec> {
    let later = holds.iter().filter(|hold| hold.update != Some(1)).cloned();
    later.map(|hold| HoldSpec { update: hold.update.map(|update| update - 1), ..hold }).collect()
}

/// How often these holds fail.
pub struct Repeater<'a, G> {
    /// Where guests come from.
    pub guests: &'a G,
    /// Updates in one guest; a hold says in which it is.
    pub updates: u32,
    /// Where the evidence of each goes.
    pub folder: PathBuf,
    /// Repetitions of each candidate.
    pub times: u32,
    /// Repetitions so far.
    pub made: u32,
    /// Those of them that were not judged.
    pub not_judged: u32,
}

impl<G: Guests> Repeater<'_, G> {
    /// What the repetitions come to; all of them, or until it is certain whether `enough` of them fail. That a person ends is an
    /// error, since nothing can be said then.
    pub fn tally(&mut self, holds: &[HoldSpec], enough: Option<u32>) -> Result<Tally, Trouble> {
        let mut tally = Tally { not_run: self.times, ..Tally::default() };
        let lists = by_update(holds, self.updates);
        let is_open = |t: Tally| enough.is_none_or(|n| t.failed < n && t.failed + t.not_run >= n);
        while tally.not_run > 0 && is_open(tally) {
            self.made += 1;
            let repetition = once(self.guests, &lists, &self.folder.join(self.made.to_string()))?;
            if repetition.interrupted {
                return Err(Trouble::environment("interrupted", "run it again; nothing was written"));
            }
            self.not_judged += u32::from(repetition.judgement == RepetitionJudgement::NotJudged);
            tally.add(repetition.judgement);
        }
        Ok(tally)
    }

    /// Whether these holds fail as often as that. Repetitions that were not judged are no failures, so what rests on them is kept.
    pub fn fails(&mut self, holds: &[HoldSpec], enough: u32) -> Result<bool, Trouble> {
        Ok(self.tally(holds, Some(enough))?.failed >= enough)
    }
}

/// The fewest holds that `fails` still says yes to: each is left out in turn until none can be (1-minimal, as in Zeller
/// and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002). Holds for a time are left out before those for
/// another CPU: a delay may only make a failure likely, while an order explains it.
pub fn fewest(
    mut holds: Vec<HoldSpec>,
    mut fails: impl FnMut(&[HoldSpec]) -> Result<bool, Trouble>,
) -> Result<Vec<HoldSpec>, Trouble> {
    while let Some(without) = without_one(&holds, &mut fails)? {
        holds = without;
    }
    Ok(holds)
}

/// All but one of the holds, if that still fails.
fn without_one(
    holds: &[HoldSpec],
    fails: &mut impl FnMut(&[HoldSpec]) -> Result<bool, Trouble>,
) -> Result<Option<Vec<HoldSpec>>, Trouble> {
    let mut turns: Vec<usize> = (0..holds.len()).collect();
    turns.sort_by_key(|at| matches!(holds[*at].until, UntilSpec::Passed { .. }));
    for at in turns {
        let mut without = holds.to_vec();
        without.remove(at);
        if fails(&without)? {
            return Ok(Some(without));
        }
    }
    Ok(None)
}

/// The same schedule on as few CPUs as it names, renumbered in their order; CPU 0, which leads, stays CPU 0. The number of
/// CPUs, and the holds.
pub fn compact(holds: &[HoldSpec]) -> (u32, Vec<HoldSpec>) {
    let partner = |hold: &HoldSpec| match &hold.until {
        UntilSpec::Passed { cpu, .. } | UntilSpec::Instructions { cpu, .. } => Some(*cpu),
        UntilSpec::Time { .. } => None,
    };
    let used: BTreeSet<u32> = holds.iter().flat_map(|h| [Some(h.cpu), partner(h)]).flatten().chain([0]).collect();
    let new: BTreeMap<u32, u32> = used.iter().copied().zip(0..).collect();
    let renumbered = holds.iter().cloned().map(|mut hold| {
        hold.cpu = new[&hold.cpu];
        match &mut hold.until {
            UntilSpec::Passed { cpu, .. } | UntilSpec::Instructions { cpu, .. } => *cpu = new[cpu],
            UntilSpec::Time { .. } => {}
        }
        hold
    });
    (new.len() as u32, renumbered.collect())
}

/// The holds as a schedule for other machines has them: on a repaired kernel they need not come true.
pub fn free(holds: Vec<HoldSpec>) -> Vec<HoldSpec> {
    holds.into_iter().map(|hold| HoldSpec { required: false, ..hold }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::fake::{Fake, Script};
    use super::*;
    use crate::scenario::{Place, Since};

    fn repeated(scripts: &[Script], times: u32) -> (Vec<Repetition>, Tally) {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::new(scripts);
        let all = many(&fake, &[vec![hold(1, 1)]], (dir.path(), times), |_, _| {}).unwrap();
        let tally = Tally::of(&all, times);
        (all, tally)
    }

    #[test]
    fn errors_of_the_rig_are_no_clean_repetitions() {
        let (all, tally) = repeated(&[Script::Unstartable, Script::Lost, Script::Passes], 3);
        assert_eq!(tally, Tally { passed: 1, not_judged: 2, ..Tally::default() });
        assert_eq!(tally.exit(), Exit::Environment);
        assert_eq!(all[0].reason.as_deref(), Some("no memory"));
        assert_eq!(repeated(&[Script::Passes, Script::Passes], 2).1.exit(), Exit::Passed);
        assert_eq!(repeated(&[Script::Passes, Script::Fails(1)], 2).1.exit(), Exit::Failed);
    }

    #[test]
    fn after_ctrl_c_the_rest_is_not_run() {
        let (all, tally) = repeated(&[Script::Passes, Script::Interrupted, Script::Passes], 20);
        assert_eq!((all.len(), tally.text().as_str()), (2, "0 of 20 failed, 1 passed, 1 not judged, 18 not run"));
        assert_eq!(tally.exit(), Exit::Environment);
    }

    #[test]
    fn what_fails_behind_the_last_update_counts() {
        assert_eq!(repeated(&[Script::WarnsAtItsEnd], 1).1.failed, 1);
    }

    #[test]
    fn a_mistake_of_the_caller_is_no_repetition() {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::new(&[Script::Misused]);
        let refused = many(&fake, &[Vec::new()], (dir.path(), 5), |_, _| {}).unwrap_err();
        assert_eq!(refused.exit, Exit::Usage);
    }

    #[test]
    fn a_candidate_that_was_not_judged_does_not_replace_the_schedule() {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::new(&[Script::Lost, Script::Fails(1), Script::Fails(1), Script::Interrupted]);
        let folder = dir.path().to_owned();
        let mut repeater = Repeater { guests: &fake, updates: 1, folder, times: 2, made: 0, not_judged: 0 };
        assert_eq!(repeater.tally(&[], None).unwrap(), Tally { failed: 1, not_judged: 1, ..Tally::default() });
        assert_eq!((repeater.made, repeater.not_judged), (2, 1));
        assert!(repeater.fails(&[], 1).unwrap());
        assert_eq!(repeater.fails(&[], 1).unwrap_err().cause, "interrupted");
    }

    #[test]
    fn a_candidate_is_repeated_until_it_is_certain() {
        let dir = tempfile::tempdir().unwrap();
        let fake = Fake::new(&[Script::Passes, Script::Fails(1), Script::Passes, Script::Fails(1)]);
        let folder = dir.path().to_owned();
        let mut repeater = Repeater { guests: &fake, updates: 1, folder, times: 2, made: 0, not_judged: 0 };
        assert!(!repeater.fails(&[], 2).unwrap());
        assert_eq!(repeater.made, 1, "the first pass decided");
        assert!(repeater.fails(&[], 1).unwrap());
        assert_eq!(repeater.made, 2);
        assert_eq!(repeater.tally(&[], None).unwrap(), Tally { failed: 1, passed: 1, ..Tally::default() });
    }

    #[test]
    fn what_is_written_requires_no_hold() {
        let required = HoldSpec { required: true, ..hold(1, 1) };
        assert!(free(vec![required, hold(2, 1)]).iter().all(|hold| !hold.required));
    }

    fn hold(cpu: u32, state: u64) -> HoldSpec {
        let until = UntilSpec::Passed { cpu: cpu + 3, passes: Place::State(1), nth: 1, since: Since::Update };
        HoldSpec { limit_ms: 1, required: false, ..HoldSpec::new(cpu, Place::State(state), until) }
    }

    #[test]
    fn only_what_is_needed_is_left() {
        let holds: Vec<_> = (1..6).map(|state| hold(1, state)).collect();
        let needed = [hold(1, 2), hold(1, 5)];
        let mut asked = 0;
        let left = fewest(holds, |candidate| {
            asked += 1;
            Ok(needed.iter().all(|h| candidate.contains(h)))
        });
        assert_eq!(left.unwrap(), needed);
        assert!(asked < 20, "{asked}");
    }

    /// Both orders, and the delay with the second of them, fail every time: the delay is what may be luck.
    #[test]
    fn a_delay_is_left_out_before_an_order() {
        let delay = HoldSpec { until: UntilSpec::Time { time_us: 20 }, ..hold(3, 4) };
        let orders = [hold(2, 1), hold(1, 1)];
        let likely = [orders[1].clone(), delay.clone()];
        let all = [&orders[..], &[delay]].concat();
        let left = fewest(all, |candidate| {
            Ok([&orders, &likely].iter().any(|needed| needed.iter().all(|hold| candidate.contains(hold))))
        });
        assert_eq!(left.unwrap(), orders);
    }

    #[test]
    fn updates_can_be_numbered_and_left_out() {
        let lists = [vec![hold(1, 1)], vec![], vec![hold(2, 2), hold(3, 3)]];
        let all = numbered(&lists);
        assert_eq!(all.iter().map(|h| h.update).collect::<Vec<_>>(), [Some(1), Some(3), Some(3)]);
        assert_eq!(by_update(&all, 3).iter().map(Vec::len).collect::<Vec<_>>(), [1, 0, 2]);
        assert_eq!(by_update(&without_first(&all), 2).iter().map(Vec::len).collect::<Vec<_>>(), [0, 2]);
    }

    #[test]
    fn what_fails_without_any_hold_needs_none() {
        assert_eq!(fewest(vec![hold(1, 1), hold(1, 2)], |_| Ok(true)).unwrap(), []);
    }

    #[test]
    fn cpus_are_renumbered_in_their_order() {
        let (cpus, holds) = compact(&[hold(7, 1), hold(2, 1)]);
        let partner = |h: &HoldSpec| if let UntilSpec::Passed { cpu, .. } = h.until { cpu } else { 99 };
        // 0, 2, 5, 7, 10 become 0, 1, 2, 3, 4.
        assert_eq!(cpus, 5);
        assert_eq!(holds.iter().map(|h| (h.cpu, partner(h))).collect::<Vec<_>>(), [(3, 4), (1, 2)]);
    }
}
