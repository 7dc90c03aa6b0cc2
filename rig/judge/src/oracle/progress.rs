//! Each step ends within its budget of guest time; every CPU leaves the `stop_machine` section.

use super::rule::{Rule, held_in};
use crate::Invariant;
use crate::finding::{Breach, Finding};
use crate::lps::LpSet;
use crate::repetition::Livelock;
use crate::run_end::RunEnd;
use crate::timeline::{Event, Place};
use crate::tracker::Tracker;
use crate::update::Update;

#[derive(Debug, Default)]
pub(crate) struct Progress {
    held: Vec<u32>,
}

impl Rule for Progress {
    fn invariant(&self) -> Invariant {
        Invariant::Progress
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let update = past.under_way()?;
        let budget_ms = past.setup.step_budget_ms?;
        let (began, now) = (update.step_begun.guest_ns, event.record.guest_ns);
        let took_ms = now.saturating_sub(began) / 1_000_000;
        let step = update.step?;
        (began != 0 && took_ms > budget_ms).then(|| {
            past.breach(Invariant::Progress, &stragglers(past, update), Some(step))
                .expected(format!("the step ends within {budget_ms} ms of guest time"))
                .seen(format!("the step is under way for {took_ms} ms"))
                .events(past.cite([&update.step_begun, event.record]))
        })
    }

    fn update_ended(&mut self, past: &Tracker, update: &Update) -> Option<Breach> {
        if update.inside.is_empty() && update.was_entered(past.decoder.follows(Place::Install)) {
            self.held.push(update.number);
        }
        (!update.inside.is_empty())
            .then(|| stuck(past, update, "the update is said to have ended, but they are inside"))
    }

    fn finish(&mut self, past: &Tracker, end: &RunEnd) -> Finding {
        if matches!(end, RunEnd::Hung { .. }) {
            if let Some(livelock) = past.repetitions.livelock() {
                return Finding::Broken(Box::new(repeats(past, &livelock)));
            }
            let stuck = |update| stuck(past, update, "the guest makes no progress");
            return Finding::Broken(Box::new(past.under_way().map_or_else(|| hung_elsewhere(past), stuck)));
        }
        held_in(past, &mut self.held, "no update came to its end")
    }
}

/// CPUs that keep the others waiting: inside a SEAMCALL, else those that did not acknowledge or never came.
fn stragglers(past: &Tracker, update: &Update) -> Vec<u16> {
    let calling: Vec<u16> =
        past.calls.iter().flatten().map(|c| c.lp).filter(|lp| update.online.contains(*lp)).collect();
    if !calling.is_empty() {
        return calling;
    }
    let since_step = |lp: &u16| update.part(*lp).ack.is_none_or(|ack| ack.seq < update.step_begun.seq);
    let late: LpSet = update.online.iter().filter(since_step).collect();
    if late.is_empty() { update.inside.iter().collect() } else { late.iter().collect() }
}

fn stuck(past: &Tracker, update: &Update, seen: &str) -> Breach {
    let lps = stragglers(past, update);
    let last: Vec<_> = lps.iter().take(8).filter_map(|lp| past.last.get(usize::from(*lp)).copied().flatten()).collect();
    let inside = crate::lps::describe(&update.inside.iter().collect::<Vec<_>>());
    let inside = inside.map_or_else(String::new, |cpus| format!("; inside the section: {cpus}"));
    let mut breach = past.breach(Invariant::Progress, &lps, update.step);
    breach.update = Some(update.number);
    breach
        .expected("each step ends and every CPU leaves the section")
        .seen(format!("{seen}{inside}"))
        .events(past.cite(last.iter().chain([&update.step_begun])))
}

/// An LP repeats a call, in an update or behind it.
fn repeats(past: &Tracker, livelock: &Livelock) -> Breach {
    past.breach(Invariant::Progress, &[livelock.lp], None)
        .expected("a SEAMCALL that fails is not repeated without end")
        .seen(livelock.to_string())
        .events(past.cite([&livelock.first, &livelock.last]))
}

/// The guest hangs outside the lockstep section: before an update, behind one, or in an upload that never got there.
fn hung_elsewhere(past: &Tracker) -> Breach {
    let stopped: Vec<u16> = past.stopped.iter().collect();
    let last: Vec<_> = past.last.iter().flatten().collect();
    let lately = last.iter().max_by_key(|r| r.seq).map(|r| **r);
    let (expected, seen) = match past.upload {
        Some(_) => ("an upload ends", "an upload began, and the guest makes no progress outside the lockstep section"),
        None => ("the guest goes on", "the guest makes no progress, and no upload is under way"),
    };
    let mut breach = past.breach(Invariant::Progress, &stopped, None);
    breach.update = past.upload;
    breach.expected(expected).seen(seen).events(past.cite(lately.iter()))
}
