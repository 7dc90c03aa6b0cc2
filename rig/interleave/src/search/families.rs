//! Words of which each CPU that is like the others has one of its own, and that the lead writes, too.
//!
//! Exchanging two CPUs exchanges these words with them. The lead writes them one after another, for all CPUs: a sweep. In the
//! middle of one the CPUs are not alike, so states are not reduced there; and no other CPU may touch its word then, so where in
//! its order the lead is makes no difference to them. At the end of a sweep all these words are equal. What does not go like
//! this ends the proof.

use crate::local::Layout;

/// Most families, by the bits of `State::sweeps`, 8 for each.
pub(super) const MAX_FAMILIES: usize = 4;

/// The slots of one word of each CPU, by CPU; that of the lead is not among them.
pub(super) type Family = Vec<usize>;

/// The families among the shared words; an error names a word that is not shared although another CPU's is.
pub(super) fn find(words: &[u64], layout: &Layout) -> Result<Vec<Family>, u64> {
    let cpus = layout.areas.len();
    let own = |word: &&u64| cpus > 1 && layout.area(1).contains(*word);
    let family = |word: &u64| {
        let slot = |cpu: usize| {
            let address = layout.moved(*word, 1, cpu);
            words.binary_search(&address).map_err(|_| address)
        };
        (0..cpus).map(|cpu| if cpu == 0 { Ok(usize::MAX) } else { slot(cpu) }).collect()
    };
    if let Some(word) = words.iter().find(|word| (2..cpus).any(|cpu| layout.area(cpu).contains(*word)))
        && !words.iter().any(|word| own(&word))
    {
        return Err(*word);
    }
    words.iter().filter(own).map(family).collect()
}
