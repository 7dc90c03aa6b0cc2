//! Every state that a machine can reach.

use crate::machine::{FAILED, UPDATED};
use crate::{Action, Invariant, Machine};
use stateright::{Checker, Model};
use std::time::{Duration, Instant};

/// What a complete exploration came to.
#[derive(Clone, Debug)]
pub struct Exploration {
    /// Different states.
    pub states: usize,
    /// Transitions between them.
    pub transitions: usize,
    /// The longest way to a state that was first reached by it.
    pub depth: usize,
    /// Time that it took.
    pub took: Duration,
    /// Invariants that some sequence of actions breaks before any other, each with a shortest such sequence.
    pub broken: Vec<(Invariant, Vec<Action>)>,
    /// Whether some sequence ends in an update.
    pub can_succeed: bool,
    /// Whether some sequence ends in a failure from which all CPUs return.
    pub can_fail: bool,
}

/// Explores all states that `machine` can reach, nearest first, on this thread alone.
pub fn explore(machine: Machine) -> Exploration {
    let start = Instant::now();
    let checker = machine.checker().spawn_bfs().join();
    assert!(checker.is_done(), "the exploration ended before its end");
    let broken = Invariant::ALL
        .into_iter()
        .filter_map(|invariant| Some((invariant, checker.discovery(invariant.name())?.into_actions())))
        .collect();
    Exploration {
        states: checker.unique_state_count(),
        transitions: checker.state_count(),
        depth: checker.max_depth(),
        took: start.elapsed(),
        broken,
        can_succeed: checker.discovery(UPDATED).is_some(),
        can_fail: checker.discovery(FAILED).is_some(),
    }
}
