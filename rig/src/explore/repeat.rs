//! One schedule again, and the smallest one that still fails.

use crate::run::{Sessions, Tried};
use crate::scenario::{HoldSpec, UntilSpec};
use crate::trouble::Trouble;
use rig_judge::Verdict;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// What one repetition came to.
#[derive(Clone, Debug, Serialize)]
pub struct Repetition {
    /// Its verdict.
    pub verdict: Verdict,
    /// Digest of its timeline, which only deterministic runs repeat.
    pub digest: Option<String>,
}

impl Repetition {
    /// Whether the subject failed.
    pub fn has_failed(&self) -> bool {
        use rig_judge::Outcome::{Failed, GuestCrashed, Hung};
        matches!(self.verdict.verdict, Failed | GuestCrashed | Hung)
    }
}

/// One update under the last of these lists of holds, after updates under the others, in a guest of its own; the evidence goes to `folder`, which is made.
pub fn once(sessions: &Sessions, lists: &[Vec<HoldSpec>], folder: &Path) -> Result<Repetition, Trouble> {
    std::fs::create_dir_all(folder).map_err(|e| Trouble::file("make", folder, &e))?;
    let mut session = sessions.start(folder)?;
    if let Err(ended) = session.ready() {
        return Ok(session.end(*ended)?.into());
    }
    for holds in lists {
        if let Tried::Ended(ended) = session.update(holds)? {
            return Ok(session.end(*ended)?.into());
        }
    }
    Ok(session.finish()?.into())
}

impl From<Verdict> for Repetition {
    fn from(verdict: Verdict) -> Self {
        Self { digest: verdict.facts.digest.clone(), verdict }
    }
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
pub struct Repeater<'a> {
    /// The machine.
    pub sessions: &'a Sessions,
    /// Updates in one guest; a hold says in which it is.
    pub updates: u32,
    /// Where the evidence of each goes.
    pub folder: PathBuf,
    /// Repetitions of each candidate.
    pub times: u32,
    /// Repetitions so far.
    pub made: u32,
}

impl Repeater<'_> {
    /// Failures among the repetitions; ends early when `enough` can no longer be reached, or is.
    pub fn failures(&mut self, holds: &[HoldSpec], enough: u32) -> Result<u32, Trouble> {
        let mut failures = 0;
        let lists = by_update(holds, self.updates);
        for done in 0..self.times {
            if failures >= enough || failures + (self.times - done) < enough {
                break;
            }
            self.made += 1;
            let folder = self.folder.join(self.made.to_string());
            failures += u32::from(once(self.sessions, &lists, &folder)?.has_failed());
        }
        Ok(failures)
    }
}

/// The fewest holds that `fails` still says yes to: each is left out in turn until none can be (1-minimal, as in Zeller
/// and Hildebrandt, "Simplifying and isolating failure-inducing input", 2002).
pub fn fewest(
    mut holds: Vec<HoldSpec>,
    mut fails: impl FnMut(&[HoldSpec]) -> Result<bool, Trouble>,
) -> Result<Vec<HoldSpec>, Trouble> {
    let mut index = 0;
    while index < holds.len() {
        let mut without = holds.clone();
        without.remove(index);
        if fails(&without)? {
            holds = without;
            index = 0;
        } else {
            index += 1;
        }
    }
    Ok(holds)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Place, Since};

    fn hold(cpu: u32, state: u64) -> HoldSpec {
        let until = UntilSpec::Passed { cpu: cpu + 3, passes: Place::State(1), nth: 1, since: Since::Update };
        HoldSpec { cpu, at: Place::State(state), nth: 1, until, limit_ms: 1, update: None }
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
