//! Two recorded runs side by side.

use crate::check::check;
use crate::stats::{LeafTiming, Statistics, StepTiming};
use crate::timeline::{Decoder, Difference, EventsError, EventsReader, Strictness, first_difference};
use crate::{Invariant, Standing, Step};
use rig_wire::event::Record;
use serde::Serialize;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::Path;

/// What two runs have in common and what not.
#[derive(Clone, Debug, Serialize)]
pub struct Comparison {
    /// Digests of both timelines.
    pub digests: [String; 2],
    /// Where they part, guest time included; none when they are the same.
    pub first: Option<Difference>,
    /// Where the order of events parts; none when only guest times differ.
    pub first_in_order: Option<Difference>,
    /// Invariants that stand differently.
    pub invariants: Vec<(Invariant, [Standing; 2])>,
    /// Figures of both.
    pub statistics: [Statistics; 2],
}

/// Compares two events files.
pub fn compare(left: &Path, right: &Path) -> Result<Comparison, EventsError> {
    let (l, r) = (check(left, None)?, check(right, None)?);
    let standing = |findings: &crate::Findings, i| findings.invariants[&i].standing();
    let differ = |i: &Invariant| standing(&l.findings, *i) != standing(&r.findings, *i);
    let both = |i| (i, [standing(&l.findings, i), standing(&r.findings, i)]);
    Ok(Comparison {
        first: difference(left, right, Strictness::Exact)?,
        first_in_order: difference(left, right, Strictness::Order)?,
        invariants: Invariant::ALL.into_iter().filter(differ).map(both).collect(),
        digests: [l.digest, r.digest],
        statistics: [l.findings.statistics, r.findings.statistics],
    })
}

fn difference(left: &Path, right: &Path, strictness: Strictness) -> Result<Option<Difference>, EventsError> {
    let (left, right) = (EventsReader::open(left)?, EventsReader::open(right)?);
    let decoders = (Decoder::new(left.setup()), Decoder::new(right.setup()));
    Ok(first_difference((&decoders.0, whole(left)), (&decoders.1, whole(right)), strictness))
}

/// Records as far as they can be read; [`check`] has reported any other trouble before.
fn whole(reader: EventsReader) -> impl Iterator<Item = Record> {
    reader.map_while(Result::ok)
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.first, &self.first_in_order) {
            (None, _) => writeln!(f, "the timelines are the same: digest {}", self.digests[0])?,
            (Some(first), None) => writeln!(f, "the same events in the same order, at other guest times\n{first}")?,
            (Some(_), Some(order)) => writeln!(f, "{order}")?,
        }
        for (invariant, [left, right]) in &self.invariants {
            writeln!(f, "  {invariant:<16} left {}, right {}", standing(*left), standing(*right))?;
        }
        leaves(f, &self.statistics)?;
        steps(f, &self.statistics)
    }
}

fn standing(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "held",
        Standing::Broken => "broken",
        Standing::NotApplicable => "not applicable",
    }
}

fn leaves(f: &mut fmt::Formatter<'_>, [left, right]: &[Statistics; 2]) -> fmt::Result {
    let by_name = |s: &Statistics| s.leaves.iter().map(|l| (l.leaf.clone(), l.clone())).collect::<BTreeMap<_, _>>();
    let (left, right) = (by_name(left), by_name(right));
    let names: BTreeSet<&String> = left.keys().chain(right.keys()).collect();
    writeln!(f, "\n  {:<18} {:>9} {:>9} {:>14} {:>14}", "leaf", "calls", "", "median", "")?;
    for name in names {
        let calls = |timing: Option<&LeafTiming>| timing.map_or(0, |t| t.calls);
        let median = |timing: Option<&LeafTiming>| timing.map_or_else(|| "-".into(), |t| micros(t.p50_ns));
        let (l, r) = (left.get(name), right.get(name));
        writeln!(f, "  {name:<18} {:>9} {:>9} {:>14} {:>14}", calls(l), calls(r), median(l), median(r))?;
    }
    Ok(())
}

/// Steps on average over the updates.
fn steps(f: &mut fmt::Formatter<'_>, [left, right]: &[Statistics; 2]) -> fmt::Result {
    writeln!(f, "\n  {:<18} {:>14} {:>14} {:>14} {:>14}", "step", "took", "", "waited", "")?;
    let mean = |all: &Statistics, step: Step, of: fn(&StepTiming) -> u64| {
        let values: Vec<u64> = all.steps.iter().filter(|s| s.step == step).map(of).collect();
        if values.is_empty() { "-".into() } else { micros(values.iter().sum::<u64>() / values.len() as u64) }
    };
    for step in &Step::ALL[1..] {
        let took = [left, right].map(|s| mean(s, *step, |t| t.took_ns));
        let waited = [left, right].map(|s| mean(s, *step, |t| t.waited_ns));
        writeln!(f, "  {step:<18} {:>14} {:>14} {:>14} {:>14}", took[0], took[1], waited[0], waited[1])?;
    }
    Ok(())
}

fn micros(ns: u64) -> String {
    format!("{}.{} us", ns / 1000, ns % 1000 / 100)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaf(leaf: &str, calls: u64, p50_ns: u64) -> LeafTiming {
        LeafTiming { leaf: leaf.into(), calls, min_ns: 1, p50_ns, p99_ns: 2, max_ns: 3 }
    }

    fn step(update: u32, step: Step, took_ns: u64, waited_ns: u64) -> StepTiming {
        StepTiming { update, step, began_ns: 7, took_ns, slowest_lp: 0, waited_ns }
    }

    fn difference(common: u64) -> Difference {
        Difference { common, last_common: None, left: None, right: None }
    }

    fn comparison() -> Comparison {
        let left = Statistics {
            leaves: vec![leaf("INSTALL", 4, 120_349), leaf("SYS.UPDATE", 1, 900_000)],
            steps: vec![
                step(1, Step::CpuInstall, 400_000, 9_000),
                step(2, Step::CpuInstall, 500_300, 8_050),
                step(2, Step::Done, 999, 0),
            ],
            updates: Vec::new(),
        };
        let right = Statistics {
            leaves: vec![leaf("INSTALL", 8, 60)],
            steps: vec![step(1, Step::CpuInstall, 1_000, 2_000)],
            updates: Vec::new(),
        };
        Comparison {
            digests: ["ab".into(), "cd".into()],
            first: None,
            first_in_order: None,
            invariants: Vec::new(),
            statistics: [left, right],
        }
    }

    #[test]
    fn figures_stand_side_by_side_and_steps_are_averages() {
        let text = comparison().to_string();
        let lines: Vec<String> = text.lines().map(|l| l.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(
            lines,
            [
                "the timelines are the same: digest ab",
                "",
                "leaf calls median",
                "INSTALL 4 8 120.3 us 0.0 us",
                "SYS.UPDATE 1 0 900.0 us -",
                "",
                "step took waited",
                "SHUTDOWN - - - -",
                "CPU_INSTALL 450.1 us 1.0 us 8.5 us 2.0 us",
                "CPU_INIT - - - -",
                "RUN_UPDATE - - - -",
                "DONE 0.9 us - 0.0 us -",
            ]
        );
    }

    #[test]
    fn the_first_line_says_in_what_two_runs_differ() {
        let first_line = |first, first_in_order| {
            let text = Comparison { first, first_in_order, ..comparison() }.to_string();
            text.lines().next().unwrap().to_owned()
        };
        assert_eq!(first_line(Some(difference(3)), None), "the same events in the same order, at other guest times");
        assert_eq!(first_line(Some(difference(3)), Some(difference(5))), "the timelines have 5 events in common");
    }

    #[test]
    fn invariants_that_stand_differently_are_named() {
        let invariants = vec![
            (Invariant::Lockstep, [Standing::Held, Standing::Broken]),
            (Invariant::Progress, [Standing::NotApplicable, Standing::Held]),
        ];
        let text = Comparison { invariants, ..comparison() }.to_string();
        assert!(text.contains("\n  lockstep         left held, right broken\n"), "{text}");
        assert!(text.contains("\n  progress         left not applicable, right held\n"), "{text}");
    }
}
