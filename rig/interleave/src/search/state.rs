//! One state of the whole machine.

use super::families::{Family, MAX_FAMILIES};
use super::section::MAX_CPUS;
use crate::firmware::Firmware;
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
    pub(super) dead: u64,
    /// Which words of each family the lead has written in a sweep that is under way: 8 bits for each family, one for each CPU.
    pub(super) sweeps: u32,
    pub(super) firmware: F,
    pub(super) ghost: Ghost,
}

impl<F: Copy> State<F> {
    pub(super) fn load(&self, slot: usize, address: u64, size: u8) -> u64 {
        self.words[slot] >> ((address & 7) * 8) & mask(size)
    }

    pub(super) fn store(&mut self, slot: usize, write: Write) {
        let shift = (write.address & 7) * 8;
        let bits = mask(write.size) << shift;
        self.words[slot] = self.words[slot] & !bits | write.value << shift & bits;
    }

    /// Takes another state of which so many words are used.
    pub(super) fn take_from(&mut self, other: &Self, words: usize) {
        (self.locals, self.dead, self.sweeps) = (other.locals, other.dead, other.sweeps);
        (self.firmware, self.ghost) = (other.firmware, other.ghost);
        self.words[..words].copy_from_slice(&other.words[..words]);
    }

    /// Brings the CPUs that are alike, all but the lead, into one order. `moved` gets every exchange. In the middle of a sweep
    /// they are not alike, and stay where they are.
    pub(super) fn sort<M: Firmware<State = F>>(
        &mut self,
        cpus: usize,
        families: &[Family],
        firmware: &M,
        mut moved: impl FnMut(usize, usize),
    ) {
        let rank =
            |state: &Self, cpu: usize| (state.locals[cpu], firmware.rank(&state.firmware, cpu), state.ghost.rank(cpu));
        let own = |state: &Self, cpu: usize| {
            families.iter().map(move |family| state.words[family[cpu]]).fold([0; MAX_FAMILIES], |mut all, word| {
                all.rotate_left(1);
                all[MAX_FAMILIES - 1] = word;
                all
            })
        };
        let last = if self.sweeps == 0 { cpus } else { 0 };
        for place in 2..last {
            let mut at = place;
            while at > 1 {
                let (before, here) = (rank(self, at - 1), rank(self, at));
                if before < here || before == here && own(self, at - 1) <= own(self, at) {
                    break;
                }
                self.locals.swap(at - 1, at);
                firmware.swap(&mut self.firmware, at - 1, at);
                self.ghost.swap(at - 1, at);
                for family in families {
                    self.words.swap(family[at - 1], family[at]);
                }
                moved(at - 1, at);
                at -= 1;
            }
        }
    }
}
