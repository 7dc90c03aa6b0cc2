//! The states that were found, and how they follow from one another.

use super::fingerprint::Table;
use crate::error::Unprovable;

/// No successor; and the successor of an operation that breaks a rule.
pub(super) const NONE: u32 = u32::MAX;
pub(super) const BROKEN: u32 = u32::MAX - 1;

/// A graph of at most 2^32 - 2 states, numbered in the order in which a search in breadth finds them.
#[derive(Debug, Default)]
pub(super) struct Graph {
    seen: Table,
    /// The state from which each was found first, and by which action.
    parents: Vec<(u32, u8)>,
    /// The successor of each state by each action.
    edges: Vec<u32>,
    ends: Vec<u32>,
    actions: usize,
}

impl Graph {
    /// The first state is number 0.
    pub(super) fn new(actions: usize, first: u128) -> Self {
        let mut graph = Self { actions, parents: vec![(NONE, 0)], ..Self::default() };
        graph.seen.insert(first, 0);
        graph
    }

    pub(super) fn len(&self) -> usize {
        self.parents.len()
    }

    /// Makes room for the successors of the next state that is expanded.
    pub(super) fn expand(&mut self) {
        self.edges.resize(self.edges.len() + self.actions, NONE);
    }

    /// `action` leads from `from` to a state with this fingerprint. Returns whether the state is new.
    pub(super) fn connect(&mut self, from: u32, action: u8, fingerprint: u128) -> bool {
        let new = self.parents.len() as u32;
        let to = *self.seen.entry(fingerprint).or_insert(new);
        self.edges[from as usize * self.actions + usize::from(action)] = to;
        if to == new {
            self.parents.push((from, action));
        }
        to == new
    }

    /// `action` of `from` breaks a rule.
    pub(super) fn break_at(&mut self, from: u32, action: u8) {
        self.edges[from as usize * self.actions + usize::from(action)] = BROKEN;
    }

    /// In this state all CPUs have left.
    pub(super) fn end(&mut self, state: u32) {
        self.ends.push(state);
    }

    pub(super) fn ends(&self) -> usize {
        self.ends.len()
    }

    /// The actions that lead from the first state to `state`, by the shortest way.
    pub(super) fn path(&self, mut state: u32) -> Vec<u8> {
        let mut actions = Vec::new();
        while self.parents[state as usize].0 != NONE {
            actions.push(self.parents[state as usize].1);
            state = self.parents[state as usize].0;
        }
        actions.reverse();
        actions
    }

    /// The states from which no end can be reached: how many, and the first of them. All states must have been expanded.
    pub(super) fn stuck(&self) -> Option<(usize, u32)> {
        let mut ends = vec![false; self.len()];
        for state in &self.ends {
            ends[*state as usize] = true;
        }
        loop {
            let mut changed = false;
            // A state is mostly followed by later ones, so that few rounds are needed.
            for state in (0..self.len()).rev() {
                let successors = &self.edges[state * self.actions..(state + 1) * self.actions];
                if !ends[state] && successors.iter().any(|to| *to < BROKEN && ends[*to as usize]) {
                    ends[state] = true;
                    changed = true;
                }
            }
            if !changed {
                break;
            }
        }
        let count = ends.iter().filter(|ends| !**ends).count();
        ends.iter().position(|ends| !ends).map(|first| (count, first as u32))
    }

    /// Bytes that it uses. Tables double, and have the old one beside the new one while they do.
    pub(super) fn bytes(&self) -> usize {
        let entry = size_of::<(u128, u32)>() + 1;
        (self.seen.capacity() * entry + self.parents.capacity() * 8 + self.edges.capacity() * 4) * 3 / 2
    }

    /// Refuses to grow beyond `limit_mib`; `more`: bytes that the search uses besides.
    pub(super) fn check(&self, more: usize, limit_mib: usize) -> Result<(), Unprovable> {
        let full = self.len() >= BROKEN as usize - 1 || self.bytes() + more > limit_mib << 20;
        if full { Err(Unprovable::Memory { states: self.len(), limit_mib }) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 0 -> 1 -> 2 (an end); 0 -> 3 -> 4 -> 3.
    fn graph() -> Graph {
        let mut graph = Graph::new(2, 0);
        let edges: [&[(u8, u128)]; 5] = [&[(0, 1), (1, 3)], &[(0, 2)], &[(1, 4)], &[], &[(0, 3)]];
        for (from, successors) in edges.iter().enumerate() {
            graph.expand();
            for (action, to) in *successors {
                graph.connect(from as u32, *action, *to);
            }
        }
        graph
    }

    #[test]
    fn paths_are_the_shortest() {
        // States are numbered as they are found: fingerprint 3 is state 2, fingerprint 2 is state 3.
        assert_eq!(graph().path(3), [0, 0]);
        assert_eq!(graph().path(4), [1, 1]);
    }

    #[test]
    fn a_cycle_without_a_way_out_is_stuck() {
        let mut graph = graph();
        assert_eq!(graph.stuck(), Some((5, 0)), "nothing ends");
        graph.end(3);
        assert_eq!(graph.stuck(), Some((2, 2)));
        graph.end(4);
        assert_eq!(graph.stuck(), None);
    }

    #[test]
    fn memory_has_a_limit() {
        assert!(graph().check(0, 1).is_ok());
        assert_eq!(graph().check(2 << 20, 1), Err(Unprovable::Memory { states: 5, limit_mib: 1 }));
    }
}
