//! Words of which each CPU that is like the others has one of its own, and that the lead writes, too.
//!
//! Exchanging two CPUs exchanges these words with them. The lead writes them one after another, for all CPUs: a sweep. In the
//! middle of one the CPUs are not alike, so states are not reduced there; and no other CPU may touch its word then, so where in
//! its order the lead is makes no difference to them. At the end of a sweep all these words are equal. What does not go like
//! this ends the proof.

use crate::local::area;

/// Most families, by the bits of `State::sweeps`, 8 for each.
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
