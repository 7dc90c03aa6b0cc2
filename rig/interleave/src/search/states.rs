//! Lists of states, in which each takes no more memory than it needs.

use super::section::MAX_CPUS;
use super::state::State;
use crate::rules::Ghost;

/// States with their numbers, one after another.
#[derive(Debug)]
pub(super) struct States<F> {
    /// How many words each has.
    stride: usize,
    rest: Vec<Rest<F>>,
    words: Vec<u64>,
}

/// All of a state but its words.
#[derive(Clone, Copy, Debug)]
struct Rest<F> {
    number: u32,
    locals: [u32; MAX_CPUS],
    dead: u64,
    sweeps: u32,
    firmware: F,
    ghost: Ghost,
}

impl<F: Copy> States<F> {
    /// No states, each of which has so many words.
    pub(super) fn new(stride: usize) -> Self {
        Self { stride, rest: Vec::new(), words: Vec::new() }
    }

    pub(super) fn len(&self) -> usize {
        self.rest.len()
    }

    pub(super) fn push(&mut self, state: &State<F>, number: u32) {
        let State { locals, dead, sweeps, firmware, ghost, .. } = *state;
        self.rest.push(Rest { number, locals, dead, sweeps, firmware, ghost });
        self.words.extend_from_slice(&state.words[..self.stride]);
    }

    /// Copies a state from another list, under a number.
    pub(super) fn push_from(&mut self, other: &Self, place: usize, number: u32) {
        self.rest.push(Rest { number, ..other.rest[place] });
        self.words.extend_from_slice(&other.words[place * self.stride..(place + 1) * self.stride]);
    }

    /// Copies the state at `place` to `state`, and returns its number.
    pub(super) fn get(&self, place: usize, state: &mut State<F>) -> u32 {
        let Rest { number, locals, dead, sweeps, firmware, ghost } = self.rest[place];
        (state.locals, state.dead, state.sweeps, state.firmware, state.ghost) = (locals, dead, sweeps, firmware, ghost);
        state.words[..self.stride].copy_from_slice(&self.words[place * self.stride..(place + 1) * self.stride]);
        number
    }

    pub(super) fn append(&mut self, other: &mut Self) {
        self.rest.append(&mut other.rest);
        self.words.append(&mut other.words);
    }

    pub(super) fn clear(&mut self) {
        self.rest.clear();
        self.words.clear();
    }

    /// Bytes that it uses.
    pub(super) fn bytes(&self) -> usize {
        self.rest.capacity() * size_of::<Rest<F>>() + self.words.capacity() * 8
    }
}
