//! The judge: every event goes in, breaches and findings come out.

use crate::finding::{Breach, Finding};
use crate::findings::{Findings, Unmodelled};
use crate::infrastructure::explains;
use crate::oracle::{self, Rule};
use crate::repetition::Livelock;
use crate::run_end::RunEnd;
use crate::stats::Tally;
use crate::timeline::{Event, Leaf, What, is_guests};
use crate::tracker::Tracker;
use crate::{Invariant, Setup};
use rig_wire::event::{Kind, Record, flags};
use std::collections::BTreeMap;

/// Judges a run while it is under way. The first event that breaks an invariant ends the judging, since what follows may be
/// a consequence: so a run that is stopped there and its recording, which may be longer, are judged alike. It holds a state per LP and per invariant, never the events themselves.
#[derive(Debug)]
pub struct Judge {
    past: Tracker,
    rules: Vec<(Box<dyn Rule>, Option<Breach>)>,
    unmodelled: BTreeMap<u64, u64>,
    tally: Tally,
    /// An invariant broke: what comes after may be its consequence, and is not judged.
    broken: bool,
    /// A report of the kernel that the host or the emulator explains.
    infrastructure: Option<String>,
    events: u64,
}

impl Judge {
    /// A judge of a run that has not begun.
    pub fn new(setup: Setup) -> Self {
        let rules = oracle::all().into_iter().map(|rule| (rule, None)).collect();
        Self {
            past: Tracker::new(setup),
            rules,
            unmodelled: BTreeMap::new(),
            tally: Tally::default(),
            broken: false,
            infrastructure: None,
            events: 0,
        }
    }

    /// Judges the next event in the global order. Returns a breach when the event is the first to break an invariant.
    pub fn observe(&mut self, record: &Record) -> Option<Breach> {
        self.events += u64::from(is_guests(record));
        let event = self.past.decoder.decode(record);
        self.count_unmodelled(&event);
        if self.broken || event.what == What::Other && !has_rule(record) {
            return None;
        }
        let mut first = None;
        if self.past.begins_update(&event) {
            first = self.end_update();
            self.past.open(&event);
        }
        self.tally.observe(&self.past, &event);
        first = first.or(self.ask(|rule, past| rule.observe(past, &event)));
        if self.past.apply(&event) {
            first = first.or(self.end_update());
        }
        first
    }

    /// Judges one line of the guest's console, without its line end.
    pub fn console_line(&mut self, line: &str) -> Option<Breach> {
        if self.broken {
            return None;
        }
        let explained = oracle::is_unexpected(line, &self.past.setup).then(|| explains(line, &self.past.host_time));
        if let Some(why) = explained.flatten() {
            self.infrastructure.get_or_insert(why);
            return None;
        }
        self.ask(|rule, past| rule.console_line(past, line))
    }

    /// The LP that repeats one failing SEAMCALL without end, if there is one.
    pub fn livelock(&self) -> Option<Livelock> {
        self.past.repetitions.livelock()
    }

    /// Judges what can only be judged at the end.
    pub fn finish(mut self, end: &RunEnd) -> Findings {
        let mut invariants = BTreeMap::new();
        // All is done, and nobody said when an update that is still open ended: with the run at the latest.
        if *end == RunEnd::Finished && !self.broken {
            self.end_update();
        }
        let end = if self.broken { &RunEnd::Stopped } else { end };
        let past = &self.past;
        for (rule, broken) in &mut self.rules {
            let finding = match broken.take() {
                Some(breach) => Finding::Broken(Box::new(breach)),
                None => rule.finish(past, end),
            };
            let finding = as_observed(past, rule.invariant(), finding);
            invariants
                .insert(rule.invariant(), unless_explained(rule.invariant(), finding, self.infrastructure.as_deref()));
        }
        let name = |(leaf, calls): (u64, u64)| Unmodelled { leaf, name: Leaf(leaf).name(), calls };
        let unmodelled = self.unmodelled.into_iter().map(name).collect();
        Findings {
            invariants,
            unmodelled,
            updates: self.past.updates(),
            statistics: self.tally.finish(),
            events: self.events,
            fault: None,
            infrastructure: self.infrastructure,
        }
    }

    fn end_update(&mut self) -> Option<Breach> {
        self.past.under_way()?;
        let breach = self.ask(|rule, past| past.update.as_ref().and_then(|update| rule.update_ended(past, update)));
        self.past.close();
        breach
    }

    /// Asks every rule that is not broken yet; keeps what they say, and returns the first.
    fn ask(&mut self, mut question: impl FnMut(&mut dyn Rule, &Tracker) -> Option<Breach>) -> Option<Breach> {
        let mut first = None;
        for (rule, broken) in self.rules.iter_mut().filter(|(_, broken)| broken.is_none()) {
            *broken = question(rule.as_mut(), &self.past);
            first = first.or_else(|| broken.clone());
        }
        self.broken |= first.is_some();
        first
    }

    fn count_unmodelled(&mut self, event: &Event<'_>) {
        if matches!(event.what, What::CallExit(..)) && event.record.flags & flags::UNMODELLED != 0 {
            *self.unmodelled.entry(event.record.a).or_default() += 1;
        }
    }
}

/// What could not be observed completely was not seen to hold, whatever was seen of it.
fn as_observed(past: &Tracker, invariant: Invariant, finding: Finding) -> Finding {
    match past.setup.unobservable.get(&invariant) {
        Some(reason) if !matches!(finding, Finding::Broken(_)) => Finding::NotApplicable { reason: reason.clone() },
        _ => finding,
    }
}

/// A kernel that reported a fault which the host or the emulator explains was not quiet, and broke nothing.
fn unless_explained(invariant: Invariant, finding: Finding, infrastructure: Option<&str>) -> Finding {
    match infrastructure {
        Some(why) if invariant == Invariant::QuietKernel && !matches!(finding, Finding::Broken(_)) => {
            Finding::NotApplicable { reason: why.to_owned() }
        }
        _ => finding,
    }
}

/// Whether a rule looks at this kind of record beside those that have a meaning of their own.
fn has_rule(record: &Record) -> bool {
    matches!(Kind::from_u16(record.kind), Some(Kind::Interrupt | Kind::TdDigest))
}
