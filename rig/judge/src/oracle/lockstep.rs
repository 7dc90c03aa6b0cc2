//! No CPU begins step k+1 before every CPU acknowledged step k.
//!
//! Judged twice. From SEAMCALLs alone: no LP enters a call of a later step while another is inside a call of an earlier one,
//! and none enters a call of an earlier step after another began a later one. From the state machine's own words, where they
//! are watched: the state only ever goes up by one, and only when every online CPU has stored its acknowledgement; each
//! acknowledges once, and only a state that it has read; the counter counts them; nobody acknowledges work that it has yet to
//! do; and an update without failure comes to the last state.
//!
//! Atomic counters can be incremented by one CPU and seen by another before the record of the increment is made. Then the state may
//! advance, in the records, ahead of acknowledgements. That is no breach if the counter had reached its number, and if each of the
//! missing acknowledgements is the very next thing recorded of its CPU.

use super::ack_trail::AckTrail;
use super::rule::{Rule, held_in};
use crate::finding::{Breach, Finding};
use crate::lps::LpSet;
use crate::run_end::RunEnd;
use crate::timeline::{Event, Leaf, Place, What, Word};
use crate::tracker::Tracker;
use crate::update::Update;
use crate::{Invariant, Step};
use rig_wire::event::Record;

#[derive(Debug, Default)]
pub(crate) struct Lockstep {
    /// The update to which the rest belongs.
    serial: u32,
    /// The number in the state word; one past [`Step::Done`] when all is over.
    state: u64,
    /// The store that made this state, once it is recorded: who loads a state may be recorded before who stored it.
    stored: Option<Record>,
    /// LPs that acknowledged this state.
    acked: LpSet,
    /// The last state that each LP acknowledged, and the record of it, by LP.
    acked_state: Vec<Option<(u64, Record)>>,
    /// The last acknowledgement.
    last_ack: Option<Record>,
    /// How the counter came to its value.
    trail: AckTrail,
    /// The counts that were stored in this state. Atomic increments give each number once.
    counts: Counts,
    /// After an advance for which the counter has its number: the acknowledgements that are not recorded yet.
    unrecorded: Option<UnrecordedAcks>,
    /// The furthest step of which a SEAMCALL began, and that call.
    furthest: Option<(Step, Record)>,
    /// Steps that were seen to begin after another.
    transitions: u32,
    held: Vec<u32>,
}

impl Rule for Lockstep {
    fn invariant(&self) -> Invariant {
        Invariant::Lockstep
    }

    fn observe(&mut self, past: &Tracker, event: &Event<'_>) -> Option<Breach> {
        let lp = event.lp()?;
        let update = past.under_way()?;
        self.follow(update);
        self.trail.observe(event, lp);
        match self.late_ack(past, update, event, lp) {
            LateAck::NotExpected => {}
            LateAck::Recorded => return None,
            LateAck::Missing(breach) => return Some(breach),
        }
        // The function that prepares the update writes the same words, outside the section.
        let inside = !past.decoder.follows(Place::Install) || update.inside.contains(lp);
        match event.what {
            What::CallEnter(leaf) if inside => self.call(past, update, event, lp, leaf.step()?),
            What::Store(Word::NumAck, count) if inside => self.ack(past, update, event, lp, count),
            What::Store(Word::State, to) if inside => {
                self.store_again(past, event, to).or_else(|| self.advance(past, update, event, to))
            }
            What::Load(Word::State, to) if inside => {
                fell_back(past, update, event, lp, to).or_else(|| self.advance(past, update, event, to))
            }
            _ => None,
        }
    }

    fn update_ended(&mut self, past: &Tracker, update: &Update) -> Option<Breach> {
        self.follow(update);
        let breach = self.never_acknowledged(past, update).or_else(|| self.stopped_short(past, update));
        if breach.is_none() && self.transitions > 0 {
            self.held.push(update.number);
        }
        breach
    }

    fn finish(&mut self, past: &Tracker, _end: &RunEnd) -> Finding {
        held_in(past, &mut self.held, "no update went from one step to the next")
    }
}

impl Lockstep {
    fn follow(&mut self, update: &Update) {
        if self.serial != update.serial {
            let held = std::mem::take(&mut self.held);
            *self = Self { serial: update.serial, state: Step::Shutdown.number(), held, ..Self::default() };
        }
    }

    /// An acknowledgement that the counter shows was never recorded.
    fn never_acknowledged(&mut self, past: &Tracker, update: &Update) -> Option<Breach> {
        let UnrecordedAcks { advance, lps, .. } =
            self.unrecorded.take().filter(|unrecorded| !unrecorded.lps.is_empty())?;
        let lps: Vec<u16> = lps.iter().collect();
        let mut breach = past.breach(Invariant::Lockstep, &lps, None);
        breach.update = Some(update.number);
        Some(
            breach
                .expected("each CPU acknowledges a step before the next begins")
                .seen(format!("CPU {} advances the state, and they never acknowledge it", advance.lp))
                .events(past.cite([&advance])),
        )
    }

    /// Everybody left, no CPU failed, and the state machine is not at its end: not in DONE, or not acknowledged there by all.
    fn stopped_short(&self, past: &Tracker, update: &Update) -> Option<Breach> {
        let done = Step::Done.number();
        let watches = past.decoder.watches(Word::State);
        let went_through = update.behind(past.decoder.follows(Place::Install)) == Step::Done;
        let missing = if self.state > done { Vec::new() } else { self.missing(update) };
        let is_over = self.state > done || self.state == done && missing.is_empty();
        (watches && went_through && !is_over).then(|| {
            let mut breach = past.breach(Invariant::Lockstep, &missing, Step::from_number(self.state));
            breach.update = Some(update.number);
            breach
                .expected("the state goes from SHUTDOWN to DONE, and each CPU acknowledges DONE before it leaves")
                .seen(format!("they left in {} without an acknowledgement", state_name(self.state)))
                .events(past.cite(self.stored.iter().chain([&update.begun])))
        })
    }

    /// A store of a state that is behind, or that was stored before.
    fn store_again(&mut self, past: &Tracker, event: &Event<'_>, to: u64) -> Option<Breach> {
        let before = self.stored.filter(|_| to <= self.state);
        if to == self.state {
            self.stored.get_or_insert(*event.record);
        }
        if to > self.state || to == self.state && before.is_none() {
            return None;
        }
        let (lp, from, to) = (event.record.lp, state_name(self.state), state_name(to));
        Some(
            past.breach(Invariant::Lockstep, &[lp], Step::from_number(self.state))
                .expected("the state only ever goes up by one")
                .seen(format!("CPU {lp} stores {to} while the state is {from}"))
                .events(past.cite(before.iter().chain([event.record]))),
        )
    }

    fn call(&mut self, past: &Tracker, update: &Update, event: &Event<'_>, lp: u16, step: Step) -> Option<Breach> {
        let breach =
            call_too_early(past, update, event, lp, step).or_else(|| self.call_too_late(past, event, lp, step));
        if self.furthest.is_none_or(|(furthest, _)| furthest < step) {
            self.transitions += u32::from(self.furthest.is_some());
            self.furthest = Some((step, *event.record));
        }
        breach
    }

    /// Another LP began a later step, or this one acknowledged this step already.
    fn call_too_late(&self, past: &Tracker, event: &Event<'_>, lp: u16, step: Step) -> Option<Breach> {
        let acked = self.acked_state.get(usize::from(lp)).copied().flatten();
        if let Some((_, ack)) = acked.filter(|(state, _)| *state >= step.number()) {
            return Some(
                past.breach(Invariant::Lockstep, &[lp], Some(step))
                    .expected(format!("CPU {lp} acknowledges {step} after its work"))
                    .seen(format!("CPU {lp} begins the work of {step} after it acknowledged the step"))
                    .events(past.cite([&ack, event.record])),
            );
        }
        let (_, other) = self.furthest.filter(|(furthest, _)| step < *furthest)?;
        Some(
            past.breach(Invariant::Lockstep, &[other.lp, lp], Some(step))
                .expected(format!("no CPU begins a later step before every CPU is through {step}"))
                .seen(format!("CPU {lp} begins {step} after CPU {} began a later step", other.lp))
                .events(past.cite([&other, event.record])),
        )
    }

    fn ack(&mut self, past: &Tracker, update: &Update, event: &Event<'_>, lp: u16, count: u64) -> Option<Breach> {
        // The last one to acknowledge resets the counter, before or after it advances the state.
        if count == 0 {
            return None;
        }
        if let Some(breach) = self.unread(past, update, event, self.state) {
            return Some(breach);
        }
        let before = self.last_ack.replace(*event.record);
        let step = Step::from_number(self.state);
        self.remember(lp, self.state, event.record);
        if !self.acked.insert(lp) {
            let ack = update.part(lp).ack.or(before);
            return Some(
                past.breach(Invariant::Lockstep, &[lp], step)
                    .expected("each CPU acknowledges a step once")
                    .seen(format!("CPU {lp} acknowledges the same step twice"))
                    .events(past.cite(ack.iter().chain([event.record]))),
            );
        }
        let counted = self.acked.len() as u64;
        if past.setup.subject.counts_acks_under_lock {
            return (count != counted).then(|| self.trail.miscount(past, event, step, (count, counted)));
        }
        let wrong = self.counts.insert(count, update.most_acks(), event.record);
        wrong.map(|wrong| miscounted(past, event, (self.state, count), &wrong))
    }

    /// A CPU acknowledges the state that it read last, and no other.
    fn unread(&self, past: &Tracker, update: &Update, event: &Event<'_>, state: u64) -> Option<Breach> {
        let lp = event.record.lp;
        let read = update.part(lp).read_state;
        // Probes see what a CPU reads at some of the places only.
        let judged = past.decoder.watches(Word::State) && !past.setup.is_probed;
        (judged && read != Some(state)).then(|| {
            let last = past.last.get(usize::from(lp)).copied().flatten();
            let read = read.map_or_else(|| "nothing".into(), state_name);
            past.breach(Invariant::Lockstep, &[lp], Step::from_number(state))
                .expected("each CPU reads a state before it acknowledges it")
                .seen(format!("CPU {lp} acknowledges {}, and the last state that it read is {read}", state_name(state)))
                .events(past.cite(last.iter().chain(&self.stored).chain([event.record])))
        })
    }

    /// What an LP whose acknowledgement was to be recorded does next.
    fn late_ack(&mut self, past: &Tracker, update: &Update, event: &Event<'_>, lp: u16) -> LateAck {
        let Some(unrecorded) = self.unrecorded.as_mut().filter(|unrecorded| unrecorded.lps.contains(lp)) else {
            return LateAck::NotExpected;
        };
        // A locked increment is recorded as a load, and then as a store.
        if matches!(event.what, What::Load(Word::NumAck, _)) {
            return LateAck::NotExpected;
        }
        unrecorded.lps.remove(lp);
        if let What::Store(Word::NumAck, count) = event.what
            && count != 0
        {
            let state = unrecorded.state;
            let wrong = unrecorded.counts.insert(count, update.most_acks(), event.record);
            self.remember(lp, state, event.record);
            let unread = self.unread(past, update, event, state);
            let breach = unread.or_else(|| wrong.map(|wrong| miscounted(past, event, (state, count), &wrong)));
            return breach.map_or(LateAck::Recorded, LateAck::Missing);
        }
        let advance = unrecorded.advance;
        LateAck::Missing(
            past.breach(Invariant::Lockstep, &[lp], None)
                .expected("each CPU acknowledges a step before the next begins")
                .seen(format!("CPU {} advances the state, and CPU {lp} goes on without an acknowledgement", advance.lp))
                .events(past.cite([&advance, event.record])),
        )
    }

    fn remember(&mut self, lp: u16, state: u64, ack: &Record) {
        let index = usize::from(lp);
        if self.acked_state.len() <= index {
            self.acked_state.resize(index + 1, None);
        }
        self.acked_state[index] = Some((state, *ack));
    }

    /// The state was stored, or seen by a CPU before the record of its store came.
    fn advance(&mut self, past: &Tracker, update: &Update, event: &Event<'_>, to: u64) -> Option<Breach> {
        if to <= self.state {
            return None;
        }
        let missing = self.missing(update);
        let (from, lp) = (self.state, event.record.lp);
        let acks: Vec<Record> = update.parts.iter().filter_map(|p| p.ack).collect();
        self.transitions += 1;
        self.state = to;
        self.stored = matches!(event.what, What::Store(..)).then_some(*event.record);
        self.acked.clear();
        let counts = std::mem::take(&mut self.counts);
        let one_step = to == from + 1;
        if to > END {
            return Some(behind_the_end(past, event, to));
        }
        if missing.is_empty() && one_step {
            return None;
        }
        let all = update.expected().len() as u64;
        if one_step && !past.setup.subject.counts_acks_under_lock && counts.top() == all {
            let lps = missing.into_iter().collect();
            self.unrecorded = Some(UnrecordedAcks { advance: *event.record, state: from, lps, counts });
            return None;
        }
        let (from_name, to_name) = (state_name(from), state_name(to));
        let behind = crate::lps::describe(&missing).unwrap_or_else(|| "nobody".into());
        let lps = if missing.is_empty() { vec![lp] } else { missing };
        let verb = if matches!(event.what, What::Store(..)) { "advances the state" } else { "sees the state advance" };
        Some(
            past.breach(Invariant::Lockstep, &lps, Step::from_number(from))
                .expected(format!("{to_name} begins after every online CPU acknowledged {from_name}"))
                .seen(format!("CPU {lp} {verb} from {from_name} to {to_name}, not acknowledged by {behind}"))
                .events(past.cite(acks.iter().chain([event.record]))),
        )
    }

    /// LPs that have yet to acknowledge.
    fn missing(&self, update: &Update) -> Vec<u16> {
        update.expected().without(&self.acked)
    }
}

/// The state after the last acknowledgement of DONE, behind which there is none.
const END: u64 = Step::Done.number() + 1;

fn behind_the_end(past: &Tracker, event: &Event<'_>, to: u64) -> Breach {
    let lp = event.record.lp;
    past.breach(Invariant::Lockstep, &[lp], Some(Step::Done))
        .expected("the CPUs leave when DONE is acknowledged")
        .seen(format!("CPU {lp} goes on to the state {to}, which is no step"))
        .events(past.cite([event.record]))
}

/// Acknowledgements of a state that the counter shows and that are not recorded yet.
#[derive(Debug)]
struct UnrecordedAcks {
    /// The record of the advance.
    advance: Record,
    /// The state that was acknowledged.
    state: u64,
    /// LPs whose acknowledgements are missing.
    lps: LpSet,
    /// The counts that were recorded.
    counts: Counts,
}

/// What a counter that is incremented atomically was set to since it was 0: each number from 1 once.
#[derive(Debug, Default)]
struct Counts {
    /// The store of each count, by the count less one.
    stores: Vec<Option<Record>>,
}

/// Why a count cannot be.
enum WrongCount {
    /// This record stored it before.
    Again(Record),
    /// It is more than there are CPUs.
    TooHigh,
}

impl Counts {
    /// Takes note of a count of at most `most`. Returns what is wrong with it, if anything is.
    fn insert(&mut self, count: u64, most: u64, record: &Record) -> Option<WrongCount> {
        let Some(at) = count.checked_sub(1).filter(|_| count <= most) else { return Some(WrongCount::TooHigh) };
        let at = at as usize;
        if self.stores.len() <= at {
            self.stores.resize(at + 1, None);
        }
        self.stores[at].replace(*record).map(WrongCount::Again)
    }

    /// The highest one.
    fn top(&self) -> u64 {
        self.stores.len() as u64
    }
}

/// An atomic counter has a count that it cannot have: an acknowledgement was lost, or counted twice.
fn miscounted(past: &Tracker, event: &Event<'_>, (state, count): (u64, u64), wrong: &WrongCount) -> Breach {
    let (lp, word) = (event.record.lp, past.decoder.word_name(event.record.a));
    let (lps, seen) = match wrong {
        WrongCount::Again(before) => {
            (vec![before.lp, lp], format!("CPU {} and CPU {lp} both wrote {count} to {word}", before.lp))
        }
        WrongCount::TooHigh => (vec![lp], format!("CPU {lp} wrote {count} to {word}, more than there are CPUs")),
    };
    let before = if let WrongCount::Again(before) = wrong { Some(before) } else { None };
    past.breach(Invariant::Lockstep, &lps, Step::from_number(state))
        .expected("each CPU's increment gives a different count")
        .seen(seen)
        .events(past.cite(before.into_iter().chain([event.record])))
}

/// What an event says of an acknowledgement that the counter shows and that is not recorded yet.
enum LateAck {
    /// None of this LP is expected.
    NotExpected,
    /// This is its record.
    Recorded,
    /// The LP goes on without it, or the record is wrong.
    Missing(Breach),
}

fn state_name(state: u64) -> String {
    Step::from_number(state).map_or_else(|| "the end".to_string(), |s| s.to_string())
}

/// A CPU reads a state that is behind the one that it read before: the state went backwards in between, whoever stored it.
fn fell_back(past: &Tracker, update: &Update, event: &Event<'_>, lp: u16, to: u64) -> Option<Breach> {
    let before = update.part(lp).read_state.filter(|before| to < *before)?;
    let last = past.last.get(usize::from(lp)).copied().flatten();
    Some(
        past.breach(Invariant::Lockstep, &[lp], Step::from_number(before))
            .expected("the state only ever goes up by one")
            .seen(format!("CPU {lp} reads {} after it read {}", state_name(to), state_name(before)))
            .events(past.cite(last.iter().chain([event.record]))),
    )
}

/// Another LP is still inside a call of an earlier step.
fn call_too_early(past: &Tracker, update: &Update, event: &Event<'_>, lp: u16, step: Step) -> Option<Breach> {
    let earlier = |call: &&Record| {
        call.lp != lp && update.online.contains(call.lp) && Leaf::of(call).step().is_some_and(|s| s < step)
    };
    let call = past.calls.iter().flatten().find(earlier)?;
    let behind = Leaf::of(call).step()?;
    Some(
        past.breach(Invariant::Lockstep, &[lp, call.lp], Some(step))
            .expected(format!("no CPU begins {step} before every CPU is through {behind}"))
            .seen(format!("CPU {lp} begins {step} while CPU {} is inside {behind}", call.lp))
            .events(past.cite([call, event.record])),
    )
}
