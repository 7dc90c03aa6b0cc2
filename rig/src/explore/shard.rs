//! Which seeds belong to which machine.

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

/// Part `index` of `count`, both from what a cluster calls them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    /// From 0.
    pub index: u64,
    /// At least 1.
    pub count: u64,
}

impl Shard {
    /// All of it.
    pub const WHOLE: Self = Self { index: 0, count: 1 };

    /// Whether a seed belongs to it. Seeds are dealt out one by one, so that shards stay equal when a time limit ends them.
    pub const fn has(self, seed: u64) -> bool {
        seed % self.count == self.index
    }

    /// From the variables of a Kubernetes indexed Job (its number of completions must be given as `RIG_SHARD_COUNT`) or
    /// of a Slurm array (`--array=0-N`); none when neither is set.
    pub fn from_environment(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        let number = |name: &str| match variable(name) {
            None => Ok(None),
            Some(text) => text.trim().parse::<u64>().map(Some).map_err(|_| format!("{name} is \"{text}\", no number")),
        };
        if let Some(index) = number("JOB_COMPLETION_INDEX")? {
            let count = number("RIG_SHARD_COUNT")?;
            let count = count.ok_or("JOB_COMPLETION_INDEX is set but RIG_SHARD_COUNT is not")?;
            return Self::checked(index, count).map(Some);
        }
        if let Some(task) = number("SLURM_ARRAY_TASK_ID")? {
            let count = number("SLURM_ARRAY_TASK_COUNT")?.ok_or("SLURM_ARRAY_TASK_COUNT is not set")?;
            let first = number("SLURM_ARRAY_TASK_MIN")?.unwrap_or(0);
            let index = task.checked_sub(first).ok_or("SLURM_ARRAY_TASK_ID is below SLURM_ARRAY_TASK_MIN")?;
            return Self::checked(index, count).map(Some);
        }
        Ok(None)
    }

    fn checked(index: u64, count: u64) -> Result<Self, String> {
        if index < count { Ok(Self { index, count }) } else { Err(format!("there is no shard {index} of {count}")) }
    }
}

/// `INDEX/COUNT`, the index from 0.
impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
        let (index, count) = numbers.ok_or("a shard is INDEX/COUNT, such as 0/4")?;
        Self::checked(index, count)
    }
}

impl fmt::Display for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.index, self.count)
    }
}

/// Reads `A..B`: the seeds from A up to, not including, B. A single number is that seed alone.
pub fn parse_seeds(text: &str) -> Result<Range<u64>, String> {
    let bad = || format!("\"{text}\" is no range of seeds: give A..B, such as 0..1000");
    let number = |text: &str| text.parse::<u64>().map_err(|_| bad());
    let (first, end) = if let Some((first, end)) = text.split_once("..") {
        (number(first)?, number(end)?)
    } else {
        let seed = number(text)?;
        (seed, seed.checked_add(1).ok_or_else(bad)?)
    };
    if first < end { Ok(first..end) } else { Err(format!("the range {text} is empty")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn environment(set: &[(&str, &str)]) -> Result<Option<Shard>, String> {
        let set: Vec<(String, String)> = set.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        Shard::from_environment(|name| set.iter().find(|(k, _)| k == name).map(|(_, v)| v.clone()))
    }

    proptest! {
        #[test]
        fn each_seed_belongs_to_exactly_one_shard(seed: u64, count in 1_u64..50) {
            let owners = (0..count).filter(|index| Shard { index: *index, count }.has(seed)).count();
            prop_assert_eq!(owners, 1);
        }
    }

    #[test]
    fn can_take_the_place_from_the_cluster() {
        assert_eq!(environment(&[]), Ok(None));
        let kubernetes = [("JOB_COMPLETION_INDEX", "3"), ("RIG_SHARD_COUNT", "8")];
        assert_eq!(environment(&kubernetes), Ok(Some(Shard { index: 3, count: 8 })));
        let slurm = [("SLURM_ARRAY_TASK_ID", "4"), ("SLURM_ARRAY_TASK_COUNT", "4"), ("SLURM_ARRAY_TASK_MIN", "1")];
        assert_eq!(environment(&slurm), Ok(Some(Shard { index: 3, count: 4 })));
    }

    #[test]
    fn cannot_take_a_place_that_is_none() {
        assert!(environment(&[("JOB_COMPLETION_INDEX", "3")]).is_err());
        assert!(environment(&[("SLURM_ARRAY_TASK_ID", "x"), ("SLURM_ARRAY_TASK_COUNT", "4")]).is_err());
        assert!("4/4".parse::<Shard>().is_err());
        assert!("4".parse::<Shard>().is_err());
        assert_eq!("1/4".parse(), Ok(Shard { index: 1, count: 4 }));
    }

    #[test]
    fn seeds_are_ranges() {
        assert_eq!(parse_seeds("3..9"), Ok(3..9));
        assert_eq!(parse_seeds("7"), Ok(7..8));
        for bad in ["9..3", "a..b", "", "3..", "18446744073709551615"] {
            assert!(parse_seeds(bad).is_err(), "{bad}");
        }
    }
}
