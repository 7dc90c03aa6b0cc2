//! What a measurement came to, as text.

use crate::measure::Measured;
use crate::record::Outcome;
use std::collections::BTreeMap;
use std::fmt::Write;

/// How many mutants ended in which way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Those that do not compile.
    pub unviable: usize,
    /// Those that a test noticed.
    pub noticed: usize,
    /// Those with a test that did not end in time.
    pub timed_out: usize,
    /// Those that no test noticed.
    pub missed: usize,
}

impl Counts {
    /// Adds one.
    pub fn add(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Unviable => &mut self.unviable,
            Outcome::Noticed => &mut self.noticed,
            Outcome::TimedOut => &mut self.timed_out,
            Outcome::Missed => &mut self.missed,
        } += 1;
    }

    /// All of them.
    pub fn all(&self) -> usize {
        self.unviable + self.viable()
    }

    /// Those that compile.
    pub fn viable(&self) -> usize {
        self.noticed + self.timed_out + self.missed
    }

    /// How many of a thousand that compile were noticed or timed out, rounded down. None if none compiles.
    pub fn per_mille(&self) -> Option<usize> {
        (self.viable() - self.missed).saturating_mul(1000).checked_div(self.viable())
    }
}

/// A table with a row for each file and one for all.
pub fn table(measured: &Measured) -> String {
    let mut rows: BTreeMap<&str, Counts> = BTreeMap::new();
    let mut sum = Counts::default();
    for (mutant, record) in measured {
        rows.entry(&mutant.file).or_default().add(record.outcome);
        sum.add(record.outcome);
    }
    let mut text = "| file | mutants | unviable | noticed | timed out | missed | % |\n".to_owned();
    text.push_str("| --- | --- | --- | --- | --- | --- | --- |\n");
    for (name, counts) in rows.into_iter().chain([("all", sum)]) {
        let Counts { unviable, noticed, timed_out, missed } = counts;
        let share = counts.per_mille().map_or("–".to_owned(), |share| format!("{}.{}", share / 10, share % 10));
        let all = counts.all();
        writeln!(text, "| {name} | {all} | {unviable} | {noticed} | {timed_out} | {missed} | {share} |")
            .expect("a string takes text");
    }
    text
}

/// The names of those that ended so, a line each.
pub fn names(measured: &Measured, outcome: Outcome) -> String {
    let ended_so = measured.iter().filter(|(_, record)| record.outcome == outcome);
    ended_so.fold(String::new(), |text, (mutant, _)| text + &mutant.name + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_share_is_of_those_that_compile() {
        let counts = Counts { unviable: 100, noticed: 18, timed_out: 1, missed: 1 };
        assert_eq!((counts.all(), counts.viable(), counts.per_mille()), (120, 20, Some(950)));
        assert_eq!(Counts { unviable: 3, ..Counts::default() }.per_mille(), None);
    }
}
