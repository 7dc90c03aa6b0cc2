//! From a seed to a schedule: which vCPUs are held where, and until when. Pure: the same seed yields the same schedule on
//! every machine and in every version that has the same [`FORM`].
//!
//! *Priorities* follow PCT (Burckhardt and others, "A randomized scheduler with probabilistic guarantees of finding bugs",
//! 2010): LPs get random priorities, and at few random points (the depth) an LP falls behind the next lower one. PCT runs
//! one thread at a time; here all LPs run, so a change point is a hold of one LP until the LP below it has passed the
//! same point. Most concurrency bugs need an order of two or three events, which is what so few holds can force.
//!
//! *Delays* hold LPs at random points for random times. They need no partner that comes by, so they reach bugs that an
//! order between two LPs does not show (a step that takes too long), but hit a narrow window only by luck.
//!
//! *Blind* holds nothing: repetition alone, to compare with.

use super::random::Stream;
use crate::scenario::{HoldSpec, Place, Since, UntilSpec};
use clap::ValueEnum;
use seam_emu::abi::Leaf;
use serde::{Deserialize, Serialize};

/// Version of what seeds mean.
pub const FORM: u32 = 1;

/// Bound on an ordering hold, milliseconds: the partner may wait for the held LP itself, and then never comes.
const ORDER_LIMIT_MS: u32 = 5;
/// The shortest delay, microseconds; the longest is this times two to the power of [`DELAY_DOUBLINGS`].
const DELAY_US: u64 = 10;
const DELAY_DOUBLINGS: u64 = 8;
const MOST_DELAYS: u64 = 4;
/// Most change points: bugs of depth three are rare.
const MOST_CHANGES: u64 = 3;

/// How seeds become schedules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "kebab-case")]
pub enum Strategy {
    /// Few changes of priority between LPs, after PCT.
    #[default]
    Priorities,
    /// Random delays at random points.
    Delays,
    /// No holds: stress by repetition.
    Blind,
}

/// What there is to be held: LPs, and the places that each of them passes in an update, with how often.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Space {
    /// LPs, numbered from 0.
    pub lps: u32,
    /// Places, and how often an LP passes each in one update.
    pub places: Vec<(Place, u32)>,
}

impl Space {
    /// Of an update whose acknowledgements are counted in the word of this name.
    pub fn of_update(lps: u32, num_ack: &str) -> Self {
        let access = |store: bool| {
            let word = num_ack.parse().expect("the name of a watched word");
            (Place::Memory { word, store }, STEPS)
        };
        let mut places = vec![access(false), access(true)];
        places.extend((1..=u64::from(STEPS)).map(|state| (Place::State(state), 1)));
        for leaf in [Leaf::LdrInstall, Leaf::SysLpInit] {
            places.extend([false, true].map(|exit| (Place::Seamcall { leaf, exit }, 1)));
        }
        Self { lps, places }
    }

    fn place(&self, stream: &mut Stream) -> (Place, u32) {
        let (place, passes) = stream.pick(&self.places);
        (place.clone(), 1 + below(stream, *passes))
    }
}

/// States that an LP acknowledges.
const STEPS: u32 = 5;

/// The schedule of a seed.
pub fn schedule(seed: u64, strategy: Strategy, space: &Space) -> Vec<HoldSpec> {
    let mut stream = Stream::new(seed);
    match strategy {
        Strategy::Blind => Vec::new(),
        Strategy::Delays => delays(&mut stream, space),
        Strategy::Priorities => priorities(&mut stream, space),
    }
}

/// A hold of a schedule. A run does not fail because it was not reached or expired.
fn hold(cpu: u32, (at, nth): (Place, u32), until: UntilSpec) -> HoldSpec {
    HoldSpec { nth, limit_ms: ORDER_LIMIT_MS, required: false, ..HoldSpec::new(cpu, at, until) }
}

fn delays(stream: &mut Stream, space: &Space) -> Vec<HoldSpec> {
    let count = 1 + stream.below(MOST_DELAYS);
    let holds = (0..count).map(|_| {
        let cpu = below(stream, space.lps);
        let (at, nth) = space.place(stream);
        let time_us = DELAY_US << stream.below(DELAY_DOUBLINGS + 1);
        hold(cpu, (at, nth), UntilSpec::Time { time_us })
    });
    holds.collect()
}

/// Each LP waits for the one whose priority is the next lower; the lowest has none below and is never held.
fn priorities(stream: &mut Stream, space: &Space) -> Vec<HoldSpec> {
    if space.lps < 2 {
        return Vec::new();
    }
    let order = stream.permutation(space.lps);
    let count = 1 + stream.below(MOST_CHANGES);
    let holds = (0..count).map(|_| {
        let rank = below(stream, space.lps - 1) as usize;
        let (cpu, partner) = (order[rank], order[rank + 1]);
        let (at, nth) = space.place(stream);
        let until = UntilSpec::Passed { cpu: partner, passes: at.clone(), nth, since: Since::Update };
        hold(cpu, (at, nth), until)
    });
    holds.collect()
}

fn below(stream: &mut Stream, bound: u32) -> u32 {
    u32::try_from(stream.below(u64::from(bound.max(1)))).expect("below a u32")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::{Just, prop_assert, prop_assert_eq, prop_oneof, proptest};

    fn space(lps: u32) -> Space {
        Space::of_update(lps, "update_ctrl.num_ack")
    }

    fn strategies() -> impl proptest::strategy::Strategy<Value = Strategy> {
        prop_oneof![Just(Strategy::Priorities), Just(Strategy::Delays), Just(Strategy::Blind)]
    }

    proptest! {
        #[test]
        fn a_seed_is_a_schedule_for_ever(seed: u64, lps in 1_u32..300, strategy in strategies()) {
            prop_assert_eq!(schedule(seed, strategy, &space(lps)), schedule(seed, strategy, &space(lps)));
        }

        #[test]
        fn schedules_name_what_there_is(seed: u64, lps in 1_u32..300, strategy in strategies()) {
            let space = space(lps);
            for hold in schedule(seed, strategy, &space) {
                let place = space.places.iter().find(|(place, _)| *place == hold.at);
                prop_assert!(place.is_some_and(|(_, passes)| (1..=*passes).contains(&hold.nth)));
                prop_assert_eq!(hold.check(lps, 1), Ok(()));
            }
        }

        #[test]
        fn priorities_hold_in_no_circle(seed: u64, lps in 2_u32..64) {
            // Along the permutation each LP waits for the next one only, so following partners always ends.
            let holds = schedule(seed, Strategy::Priorities, &space(lps));
            prop_assert!((1..=3).contains(&holds.len()));
            for hold in &holds {
                let mut cpu = hold.cpu;
                for step in 0.. {
                    prop_assert!(step <= holds.len(), "a circle: {holds:?}");
                    let next = holds.iter().find(|h| h.cpu == cpu).map(|h| &h.until);
                    let Some(UntilSpec::Passed { cpu: next, .. }) = next else { break };
                    cpu = *next;
                }
            }
        }
    }

    #[test]
    fn seeds_reach_every_place_and_every_lp() {
        use std::collections::HashSet;
        for strategy in [Strategy::Priorities, Strategy::Delays] {
            let holds = (0..2000).flat_map(|seed| schedule(seed, strategy, &space(4))).collect::<Vec<_>>();
            let places: HashSet<_> = holds.iter().map(|h| (h.cpu, h.at.clone(), h.nth)).collect();
            let all: u32 = space(4).places.iter().map(|(_, passes)| passes * 4).sum();
            assert_eq!(places.len(), all as usize, "{strategy:?}");
        }
    }

    #[test]
    fn one_lp_alone_has_no_order() {
        assert_eq!(schedule(7, Strategy::Priorities, &space(1)), []);
    }

    /// What seeds mean must not change: results of other machines and of last year are compared by seed.
    #[test]
    fn seed_42_is_what_it_always_was() {
        let holds = schedule(42, Strategy::Priorities, &space(4));
        let words: Vec<String> = holds.iter().map(|h| format!("{} {} {} {}", h.cpu, h.at, h.nth, h.until)).collect();
        assert_eq!(words, ["0 seamcall:TDH.SYS.LP.INIT:enter 1 CPU 3 has passed seamcall:TDH.SYS.LP.INIT:enter"]);
    }
}
