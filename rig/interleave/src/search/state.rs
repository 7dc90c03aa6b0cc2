//! One state of the whole machine.

use super::section::MAX_CPUS;
use crate::image::mask;
use crate::local::Write;
use crate::rules::Ghost;

/// Most shared words.
pub(super) const MAX_WORDS: usize = 48;

/// CPUs by the numbers of their private states, shared words by their slots, firmware, and what the rules remember.
#[derive(Clone, Copy, Debug)]
pub(super) struct State<F> {
    pub(super) locals: [u32; MAX_CPUS],
    pub(super) words: [u64; MAX_WORDS],
    /// Dead fields of queue nodes, two bits for each node: its first word, the lower half of its second.
    pub(super) dead: u16,
    pub(super) firmware: F,
    pub(super) ghost: Ghost,
}

impl<F> State<F> {
    pub(super) fn load(&self, slot: usize, address: u64, size: u8) -> u64 {
        self.words[slot] >> ((address & 7) * 8) & mask(size)
    }

    pub(super) fn store(&mut self, slot: usize, write: Write) {
        let shift = (write.address & 7) * 8;
        let bits = mask(write.size) << shift;
        self.words[slot] = self.words[slot] & !bits | write.value << shift & bits;
    }
}
