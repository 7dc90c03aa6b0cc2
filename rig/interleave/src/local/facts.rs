//! What an exploration takes for true, and how it learns better. This is the only place where that happens.
//!
//! Three facts are assumed: a word is private until two CPUs touched it and one wrote it; the control flow is what was executed
//! so far, which says what registers are dead; a loop that reads nothing shared waits for nothing. Whatever shows that one of
//! them is false records it here and returns [`Stop::Restart`]. [`Facts::settle`] then brings what follows from the facts up to
//! date, and the exploration begins again from nothing. Facts only grow, so this ends; and the exploration that ends without a
//! restart has found none of them false in any state.

use super::decoded::Effects;
use super::liveness;
use super::stop::Stop;
use crate::image::Symbols;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

/// Facts about the code and its data.
#[derive(Debug, Default)]
pub struct Facts {
    shared: BTreeSet<u64>,
    /// CPUs that read and that wrote each word, as bits.
    touched: HashMap<u64, (u8, u8)>,
    edges: BTreeMap<u64, BTreeSet<u64>>,
    effects: BTreeMap<u64, Effects>,
    live: Option<HashMap<u64, u32>>,
    keeps_dead: bool,
    restarts: usize,
}

impl Facts {
    /// No facts. `keeps_dead`: dead registers and flags stay a part of the state, which must not change any verdict.
    pub fn new(keeps_dead: bool) -> Self {
        Self { keeps_dead, ..Self::default() }
    }

    /// Shared words, in order.
    pub fn shared(&self) -> impl Iterator<Item = u64> {
        self.shared.iter().copied()
    }

    /// Whether a word is known as shared.
    pub fn is_shared(&self, word: u64) -> bool {
        self.shared.contains(&word)
    }

    /// A word is shared, since the same word of a CPU that is alike is.
    pub fn share(&mut self, word: u64) {
        self.shared.insert(word);
    }

    /// Words that a CPU touched, in order.
    pub fn touched(&self) -> BTreeSet<u64> {
        self.touched.keys().chain(&self.shared).copied().collect()
    }

    /// How often an exploration began again.
    pub fn restarts(&self) -> usize {
        self.restarts
    }

    /// Addresses of the instructions that were executed.
    pub fn executed(&self) -> impl Iterator<Item = u64> {
        self.edges.keys().copied()
    }

    /// `cpu` touches a word. Returns whether it is shared.
    pub(super) fn touch(&mut self, cpu: u8, word: u64, is_write: bool, symbols: &Symbols) -> Result<bool, Stop> {
        if self.shared.contains(&word) {
            return Ok(true);
        }
        let (readers, writers) = self.touched.entry(word).or_default();
        *(if is_write { &mut *writers } else { &mut *readers }) |= 1 << cpu;
        if *writers != 0 && (*readers | *writers).count_ones() > 1 {
            self.shared.insert(word);
            return Err(Stop::Restart(format!("{} is shared", symbols.name(word))));
        }
        Ok(false)
    }

    /// A CPU loops and reads only these words, which nobody else touched so far: somebody may. Returns whether one of them was
    /// not known as shared. Nobody else reaches its stack.
    pub(super) fn waits_for(&mut self, words: &BTreeSet<u64>, own: &Range<u64>) -> bool {
        let on_stack = |word: u64| own.contains(&word);
        let new: Vec<u64> = words.iter().copied().filter(|word| !on_stack(*word)).collect();
        let before = self.shared.len();
        self.shared.extend(new);
        self.shared.len() > before
    }

    /// `from` was executed, with `effects` on registers, and `to` came next.
    pub(super) fn step(&mut self, from: u64, to: u64, effects: Effects, symbols: &Symbols) -> Result<(), Stop> {
        self.effects.entry(from).or_insert(effects);
        if self.edges.entry(from).or_default().insert(to) && self.live.is_some() {
            return Err(Stop::Restart(format!("{} was not seen to go on to {}", symbols.name(from), symbols.name(to))));
        }
        Ok(())
    }

    /// Brings what follows from the facts up to date, before an exploration begins.
    pub fn settle(&mut self) {
        if !self.keeps_dead {
            self.live = Some(liveness::compute(&self.edges, &self.effects));
        }
    }

    /// An exploration begins again.
    pub fn restart(&mut self) {
        self.restarts += 1;
        self.settle();
    }

    /// Registers (bits 15:0) and flags (from bit 16) that may still be read from `rip` on.
    pub(super) fn live(&self, rip: u64) -> u32 {
        match &self.live {
            Some(live) => live.get(&rip).copied().unwrap_or(u32::MAX),
            None => u32::MAX,
        }
    }
}
