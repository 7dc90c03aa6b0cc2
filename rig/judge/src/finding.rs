//! What the oracle found.

use crate::{Invariant, Step};
use rig_wire::event::Record;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::{fmt, iter};

/// The outcome of one invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// What it demands was seen, and nothing that contradicts it.
    Held {
        /// The updates in which it was seen, by their numbers from 1, ascending; none: it is about the run as a whole.
        updates: Vec<u32>,
    },
    /// It was broken; this is the first time.
    Broken(Box<Breach>),
    /// Nothing was observed by which it could be judged.
    NotApplicable {
        /// Why, for people.
        reason: String,
    },
}

/// A [`Finding`] without its details, as the `invariants` map of `verdict.json` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// See [`Finding::Held`].
    Held,
    /// See [`Finding::Broken`].
    Broken,
    /// See [`Finding::NotApplicable`].
    NotApplicable,
}

impl Finding {
    /// The finding without its details.
    pub fn standing(&self) -> Standing {
        match self {
            Self::Held { .. } => Standing::Held,
            Self::Broken(_) => Standing::Broken,
            Self::NotApplicable { .. } => Standing::NotApplicable,
        }
    }
}

/// One broken invariant, with its evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Breach {
    /// Which one.
    pub invariant: Invariant,
    /// The LPs that broke it, or suffered from it.
    pub lps: Vec<u16>,
    /// The step in which the update was, if one was under way.
    pub step: Option<Step>,
    /// Which update of the run, from 1, if one was under way.
    pub update: Option<u32>,
    /// What should have been seen.
    pub expected: String,
    /// What was seen instead.
    pub seen: String,
    /// The events that show it, in their order.
    pub events: Vec<Cited>,
}

/// One event that is cited as evidence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Cited {
    /// Its place in the global order.
    pub seq: u64,
    /// Guest time, nanoseconds; 0 when the clock was not read.
    pub guest_ns: u64,
    /// The LP, none for an event on no LP.
    pub lp: Option<u16>,
    /// What happened, for people.
    pub what: String,
    /// The record itself.
    #[schemars(with = "serde_json::Value")]
    pub record: Record,
}

/// An invariant that could not be judged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NotObserved {
    /// Which one.
    pub invariant: Invariant,
    /// Why.
    pub reason: String,
}

impl Breach {
    /// The breach in one line.
    pub fn summary(&self) -> String {
        let cpus = crate::lps::describe(&self.lps);
        let step = self.step.map(|step| format!("step {step}"));
        let update = self.update.map(|update| format!("update {update}"));
        let whence = [cpus, step, update].into_iter().flatten();
        let head: Vec<String> = iter::once(self.invariant.name().to_string()).chain(whence).collect();
        format!("{}: {}", head.join(", "), self.seen)
    }
}

/// Several lines: invariant, CPUs, step, what was expected and seen, and the events with their times.
impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.summary())?;
        write!(f, "  expected: {}", self.expected)?;
        for event in &self.events {
            write!(f, "\n  {event}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Cited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cpu = self.lp.map_or_else(|| "-".to_string(), |lp| format!("CPU {lp}"));
        let (s, us) = (self.guest_ns / 1_000_000_000, self.guest_ns / 1000 % 1_000_000);
        write!(f, "#{:<8} {s}.{us:06}s  {cpu:<7} {}", self.seq, self.what)
    }
}
