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
