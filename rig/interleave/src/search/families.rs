//! Words of which each CPU that is like the others has one of its own, and that the lead writes, too.
//!
//! Exchanging two CPUs exchanges these words with them. The lead writes them one after another, for all CPUs: a sweep. In the
//! middle of one the CPUs are not alike, so states are not reduced there; and no other CPU may touch its word then, so where in
//! its order the lead is makes no difference to them. At the end of a sweep all these words are equal. What does not go like
//! this ends the proof.

use super::explorer::Explorer;
use super::state::State;
use crate::error::Unprovable;
use crate::firmware::Firmware;
use crate::image::Source;
use crate::local::{Stop, area};

/// Most families, by the bits of [`State::sweeps`], 8 for each.
pub(super) const MAX_FAMILIES: usize = 4;

/// The slots of one word of each CPU, by CPU; that of the lead is not among them.
pub(super) type Family = Vec<usize>;

/// The families among the shared words; an error names a word that is not shared although another CPU's is.
pub(super) fn find(words: &[u64], cpus: usize) -> Result<Vec<Family>, u64> {
    let own = |word: &&u64| area(1).contains(*word);
    let family = |word: &u64| {
        let slot = |cpu: usize| {
            let address = moved(*word, 1, cpu);
            words.binary_search(&address).map_err(|_| address)
        };
        (0..cpus).map(|cpu| if cpu == 0 { Ok(usize::MAX) } else { slot(cpu) }).collect()
    };
    if let Some(word) = words.iter().find(|word| (2..cpus).any(|cpu| area(cpu as u8).contains(*word)))
        && !words.iter().any(|word| area(1).contains(word))
    {
        return Err(*word);
    }
    words.iter().filter(own).map(family).collect()
}

/// An address in one CPU's area as the same in another's; other addresses stay.
pub(super) fn moved(address: u64, from: usize, to: usize) -> u64 {
    let (here, there) = (area(from as u8), area(to as u8));
    if here.contains(&address) { address - here.start + there.start } else { address }
}

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    /// Follows sweeps, before `cpu` touches a word.
    pub(super) fn follow_sweep(
        &self,
        cpu: usize,
        address: u64,
        writes: bool,
        state: &mut State<F::State>,
    ) -> Result<(), Stop> {
        let slot = self.slot(address);
        let Some((number, member)) = self.families.iter().enumerate().find_map(|(number, family)| {
            family.iter().position(|member| *member == slot).map(|member| (number, member))
        }) else {
            return Ok(());
        };
        let shift = number * 8;
        let under_way = state.sweeps >> shift & 0xff != 0;
        if cpu != 0 && (under_way || cpu != member) || cpu == 0 && !writes {
            return Err(self.not_alike(address));
        }
        if cpu == 0 {
            state.sweeps |= 1 << (shift + member);
        }
        Ok(())
    }

    /// Ends the sweeps that are complete.
    pub(super) fn end_sweeps(&self, state: &mut State<F::State>) -> Result<(), Stop> {
        let all = (1_u32 << self.cpus()) - 2;
        for (number, family) in self.families.iter().enumerate() {
            if state.sweeps >> (number * 8) & 0xff == all {
                if family[1..].iter().any(|slot| state.words[*slot] != state.words[family[1]]) {
                    return Err(self.not_alike(self.words[family[1]]));
                }
                state.sweeps &= !(0xff << (number * 8));
            }
        }
        Ok(())
    }

    fn not_alike(&self, address: u64) -> Stop {
        let what = "a word of a CPU is not used as by CPUs that are alike";
        let at = self.interpreter.memory.source().symbols().name(address);
        Unprovable::Access { what, at, address }.into()
    }
}
