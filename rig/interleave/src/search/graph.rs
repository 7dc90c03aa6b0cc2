//! The states that were found, and how they follow from one another.
//!
//! A state's fingerprint says to which of [`SHARDS`] parts of the table it belongs. Each part numbers its states in the order in
//! which they come, so that parts can be filled at once, and the result does not depend on how many are.

use crate::error::Unprovable;
use hashbrown::HashTable;
use std::sync::atomic::{AtomicU32, Ordering};

/// Parts of the table, a power of two.
pub(super) const SHARDS: usize = 16;

/// No successor; and the successor of an operation that breaks a rule.
const NONE: u32 = u32::MAX;
const BROKEN: u32 = u32::MAX - 1;

/// A graph of fewer than 2^32 states. A state's number is its place in its part times [`SHARDS`], plus the part.
#[derive(Debug)]
pub(super) struct Graph {
    pub(super) shards: Vec<Shard>,
    pub(super) edges: Edges,
    ends: Vec<u32>,
    /// How many states each part had when each step of the search began.
    levels: Vec<[u32; SHARDS]>,
}

/// One part of the table.
#[derive(Debug, Default)]
pub(super) struct Shard {
    number: u32,
    places: HashTable<u32>,
    fingerprints: Vec<u128>,
    /// The state from which each was found first.
    parents: Vec<u32>,
}

/// The successor of each state by each action.
#[derive(Debug)]
pub(super) struct Edges {
    actions: usize,
    all: Vec<AtomicU32>,
}

/// The part to which a fingerprint belongs.
pub(super) const fn shard_of(fingerprint: u128) -> usize {
    (fingerprint >> 124) as usize % SHARDS
}

impl Shard {
    /// The number of a state that is known.
    pub(super) fn find(&self, fingerprint: u128) -> Option<u32> {
        let is_it = |place: &u32| self.fingerprints[*place as usize] == fingerprint;
        self.places.find(fingerprint as u64, is_it).map(|place| place * SHARDS as u32 + self.number)
    }

    /// The number of a state, and whether it is new. `from`: where it was found.
    pub(super) fn number(&mut self, fingerprint: u128, from: u32) -> (u32, bool) {
        if let Some(known) = self.find(fingerprint) {
            return (known, false);
        }
        let place = self.fingerprints.len() as u32;
        self.fingerprints.push(fingerprint);
        self.parents.push(from);
        let fingerprints = &self.fingerprints;
        self.places.insert_unique(fingerprint as u64, place, |place| fingerprints[*place as usize] as u64);
        (place * SHARDS as u32 + self.number, true)
    }

    fn bytes(&self) -> usize {
        // A table's buckets are filled to seven eighths, and each has a byte besides.
        self.places.capacity() * 5 * 8 / 7 + self.fingerprints.capacity() * 16 + self.parents.capacity() * 4
    }
}

impl Edges {
    /// `action` leads from one state to another.
    pub(super) fn connect(&self, from: u32, action: usize, to: u32) {
        self.all[from as usize * self.actions + action].store(to, Ordering::Relaxed);
    }

    /// `action` of `from` breaks a rule.
    pub(super) fn break_at(&self, from: u32, action: usize) {
        self.connect(from, action, BROKEN);
    }

    fn of(&self, from: u32) -> &[AtomicU32] {
        &self.all[from as usize * self.actions..(from as usize + 1) * self.actions]
    }
}

impl Graph {
    /// A graph of the first state. Returns its number, too.
    pub(super) fn new(actions: usize, first: u128) -> (Self, u32) {
        let shards = (0..SHARDS as u32).map(|number| Shard { number, ..Shard::default() }).collect();
        let mut graph =
            Self { shards, edges: Edges { actions, all: Vec::new() }, ends: Vec::new(), levels: Vec::new() };
        let (number, _) = graph.shards[shard_of(first)].number(first, NONE);
        graph.begin_level();
        (graph, number)
    }

    pub(super) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.fingerprints.len()).sum()
    }

    /// The states that come from now on are one operation further away.
    pub(super) fn begin_level(&mut self) {
        self.levels.push(std::array::from_fn(|shard| self.shards[shard].fingerprints.len() as u32));
        self.grow();
    }

    /// Makes room for the successors of all states that are known.
    pub(super) fn grow(&mut self) {
        let rows = self.rows() * self.edges.actions;
        self.edges.all.resize_with(rows, || AtomicU32::new(NONE));
    }

    fn rows(&self) -> usize {
        self.shards.iter().map(|shard| shard.fingerprints.len()).max().unwrap_or(0) * SHARDS
    }

    fn is_known(&self, state: u32) -> bool {
        (state as usize / SHARDS) < self.shards[state as usize % SHARDS].fingerprints.len()
    }

    /// In this state all CPUs have left.
    pub(super) fn end(&mut self, state: u32) {
        self.ends.push(state);
    }

    pub(super) fn ends(&self) -> usize {
        self.ends.len()
    }

    /// The actions that lead from the first state to `state`, by the shortest way.
    pub(super) fn path(&self, mut state: u32) -> Vec<usize> {
        let mut actions = Vec::new();
        loop {
            let from = self.shards[state as usize % SHARDS].parents[state as usize / SHARDS];
            if from == NONE {
                actions.reverse();
                return actions;
            }
            let leads_here = |to: &AtomicU32| to.load(Ordering::Relaxed) == state;
            actions.push(self.edges.of(from).iter().position(leads_here).expect("its parent leads to it"));
            state = from;
        }
    }

    /// Length of the shortest way to a state.
    fn depth(&self, state: u32) -> usize {
        let (shard, place) = (state as usize % SHARDS, state / SHARDS as u32);
        self.levels.partition_point(|lens| lens[shard] <= place)
    }

    /// The states from which no end can be reached: how many, and the one that is reached first. All states must have been
    /// expanded.
    pub(super) fn stuck(&self) -> Option<(usize, u32)> {
        let mut ends = vec![false; self.rows()];
        for state in &self.ends {
            ends[*state as usize] = true;
        }
        loop {
            let mut changed = false;
            // A state is mostly followed by later ones, so that few rounds are needed.
            for state in (0..self.rows() as u32).rev() {
                let goes_on = |to: &AtomicU32| {
                    let to = to.load(Ordering::Relaxed);
                    to < BROKEN && ends[to as usize]
                };
                if !ends[state as usize] && self.edges.of(state).iter().any(goes_on) {
                    ends[state as usize] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        let stuck = || (0..self.rows() as u32).filter(|state| !ends[*state as usize] && self.is_known(*state));
        stuck().min_by_key(|state| (self.depth(*state), *state)).map(|first| (stuck().count(), first))
    }

    /// Bytes that it uses. Tables double, and have the old one beside the new one while they do.
    pub(super) fn bytes(&self) -> usize {
        let shards: usize = self.shards.iter().map(Shard::bytes).sum();
        let one = shards / SHARDS + self.edges.all.capacity() * 4;
        // Of all tables the largest is being moved.
        shards + self.edges.all.capacity() * 4 + one / 2
    }

    /// Refuses to grow beyond `limit_mib`; `more`: bytes that the search uses besides.
    pub(super) fn check(&self, more: usize, limit_mib: usize) -> Result<(), Unprovable> {
        let full = self.rows() >= BROKEN as usize - SHARDS || self.bytes() + more > limit_mib << 20;
        if full { Err(Unprovable::Memory { states: self.len(), limit_mib }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fingerprint of a part.
    const fn print(shard: u128, rest: u128) -> u128 {
        shard << 124 | rest
    }

    /// 0 -> 1 -> 3 (an end); 0 -> 2 -> 4 -> 2. The number of each of these five.
    fn graph() -> (Graph, [u32; 5]) {
        let (mut graph, first) = Graph::new(2, print(9, 1));
        let found = |graph: &mut Graph, from: u32, action: usize, print: u128| {
            let (number, is_new) = graph.shards[shard_of(print)].number(print, from);
            graph.edges.connect(from, action, number);
            assert!(is_new);
            number
        };
        let left = found(&mut graph, first, 0, print(3, 2));
        let right = found(&mut graph, first, 1, print(3, 3));
        graph.begin_level();
        let end = found(&mut graph, left, 0, print(0, 4));
        let back = found(&mut graph, right, 1, print(3, 5));
        graph.begin_level();
        graph.edges.connect(back, 0, right);
        (graph, [first, left, right, end, back])
    }

    #[test]
    fn paths_are_the_shortest() {
        let (graph, all @ [_, _, _, end, back]) = graph();
        assert_eq!(graph.path(end), [0, 0]);
        assert_eq!(graph.path(back), [1, 1]);
        assert_eq!(all.map(|state| graph.depth(state)), [0, 1, 1, 2, 2]);
    }

    #[test]
    fn a_cycle_without_a_way_out_is_stuck() {
        let (mut graph, [first, _, right, end, back]) = graph();
        assert_eq!(graph.stuck(), Some((5, first)), "nothing ends");
        graph.end(end);
        assert_eq!(graph.stuck(), Some((2, right)), "the first of two");
        graph.end(back);
        assert_eq!(graph.stuck(), None);
    }

    #[test]
    fn memory_has_a_limit() {
        assert!(graph().0.check(0, 1).is_ok());
        assert_eq!(graph().0.check(2 << 20, 1), Err(Unprovable::Memory { states: 5, limit_mib: 1 }));
    }
}
