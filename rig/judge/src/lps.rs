//! Sets of logical processors.

/// A set of LPs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LpSet {
    words: Vec<u64>,
}

impl LpSet {
    /// Adds `lp`; false when it was there already.
    pub fn insert(&mut self, lp: u16) -> bool {
        let (word, bit) = (usize::from(lp) / 64, 1 << (lp % 64));
        if self.words.len() <= word {
            self.words.resize(word + 1, 0);
        }
        let new = self.words[word] & bit == 0;
        self.words[word] |= bit;
        new
    }

    /// Removes `lp`; false when it was not there.
    pub fn remove(&mut self, lp: u16) -> bool {
        let was = self.contains(lp);
        if was {
            self.words[usize::from(lp) / 64] &= !(1 << (lp % 64));
        }
        was
    }

    /// Whether `lp` is in the set.
    pub fn contains(&self, lp: u16) -> bool {
        self.words.get(usize::from(lp) / 64).is_some_and(|w| w & (1 << (lp % 64)) != 0)
    }

    /// How many LPs are in it.
    pub fn len(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    /// Whether it has no LP.
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|w| *w == 0)
    }

    /// Its LPs in ascending order.
    pub fn iter(&self) -> impl Iterator<Item = u16> + '_ {
        let bits = self.words.len() * 64;
        (0..bits).map(|lp| lp as u16).filter(|lp| self.contains(*lp))
    }

    /// LPs of this set that are not in `other`, in ascending order.
    pub fn without(&self, other: &Self) -> Vec<u16> {
        self.iter().filter(|lp| !other.contains(*lp)).collect()
    }

    /// Forgets all LPs.
    pub fn clear(&mut self) {
        self.words.fill(0);
    }
}

impl FromIterator<u16> for LpSet {
    fn from_iter<I: IntoIterator<Item = u16>>(lps: I) -> Self {
        let mut set = Self::default();
        for lp in lps {
            set.insert(lp);
        }
        set
    }
}

/// "CPU 3" or "CPUs 0-2,5"; none for no LP at all.
pub fn describe(lps: &[u16]) -> Option<String> {
    let mut sorted = lps.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let ranges: Vec<String> = sorted
        .chunk_by(|a, b| u32::from(*a) + 1 == u32::from(*b))
        .map(|run| match run {
            [one] => one.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        })
        .collect();
    match sorted.len() {
        0 => None,
        1 => Some(format!("CPU {}", ranges[0])),
        _ => Some(format!("CPUs {}", ranges.join(","))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_remembers_what_it_was_given() {
        let mut set: LpSet = [3, 64, 255].into_iter().collect();
        assert!(!set.insert(64) && set.remove(3) && !set.remove(3));
        assert_eq!((set.len(), set.iter().collect::<Vec<_>>()), (2, vec![64, 255]));
        assert_eq!(set.without(&[255].into_iter().collect()), [64]);
        set.clear();
        assert!(set.is_empty());
    }

    #[test]
    fn the_last_lp_of_all_fits() {
        let set: LpSet = [u16::MAX].into_iter().collect();
        assert_eq!(set.iter().collect::<Vec<_>>(), [u16::MAX]);
    }

    #[test]
    fn sets_are_described_by_ranges() {
        assert_eq!(describe(&[]), None);
        assert_eq!(describe(&[7]).unwrap(), "CPU 7");
        assert_eq!(describe(&[5, 1, 0, 2, 2]).unwrap(), "CPUs 0-2,5");
    }
}
