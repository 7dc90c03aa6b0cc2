//! What is known of a run at one point of its timeline: the part of the past that the invariants share.

use crate::finding::{Breach, Cited};
use crate::host_time::HostTime;
use crate::lps::LpSet;
use crate::repetition::Repetitions;
use crate::timeline::{Decoder, Event, Leaf, Place, What, Word, is_mark};
use crate::update::{Failure, Update, lead_finished};
use crate::{Invariant, Setup, Step};
use rig_wire::event::{Mark, Record};

/// The shared past. Rules see an event after [`Tracker::open`] and before [`Tracker::apply`], so that what they find here
/// is what was true just before the event.
#[derive(Debug)]
pub(crate) struct Tracker {
    pub(crate) setup: Setup,
    pub(crate) decoder: Decoder,
    /// LPs that are online.
    pub(crate) online: LpSet,
    /// The SEAMCALL in which each LP is, by its entry.
    pub(crate) calls: Vec<Option<Record>>,
    /// The last event of each LP.
    pub(crate) last: Vec<Option<Record>>,
    /// LPs inside the `stop_machine` thread function.
    pub(crate) stopped: LpSet,
    /// The update that is under way, or the last one.
    pub(crate) update: Option<Update>,
    /// The upload that is under way, by its number.
    pub(crate) upload: Option<u32>,
    /// Updates that began in the upload under way.
    pub(crate) updates_in_upload: u32,
    /// What each LP does again and again.
    pub(crate) repetitions: Repetitions,
    /// What the host took from the machine.
    pub(crate) host_time: HostTime,
    updates: u32,
}

impl Tracker {
    pub(crate) fn new(setup: Setup) -> Self {
        let lps = usize::from(setup.lps);
        Self {
            decoder: Decoder::new(&setup),
            online: setup.online.iter().copied().collect(),
            calls: vec![None; lps],
            last: vec![None; lps],
            stopped: LpSet::default(),
            update: None,
            upload: None,
            updates_in_upload: 0,
            repetitions: Repetitions::new(setup.lps),
            host_time: HostTime::default(),
            updates: 0,
            setup,
        }
    }

    /// Whether the machine has this LP; a record of any other is a fault of the recorder.
    pub(crate) fn has(&self, lp: u16) -> bool {
        usize::from(lp) < self.calls.len()
    }

    /// How many updates have begun.
    pub(crate) fn updates(&self) -> u32 {
        self.updates
    }

    /// The update that is under way.
    pub(crate) fn under_way(&self) -> Option<&Update> {
        self.update.as_ref().filter(|u| u.open)
    }

    /// The update under way, when this LP's SEAMCALLs belong to it: the LP is inside the install function, or that function
    /// is not followed and cannot tell.
    pub(crate) fn update_of(&self, lp: u16) -> Option<&Update> {
        self.under_way().filter(|u| !self.decoder.follows(Place::Install) || u.inside.contains(lp))
    }

    /// Whether an event begins an update that ends the one under way, if there is one.
    pub(crate) fn begins_update(&self, event: &Event<'_>) -> bool {
        let Some(lp) = event.lp() else { return false };
        let under_way = self.under_way();
        match event.what {
            What::Store(Word::State, 1) => under_way.is_none_or(|u| !u.inside.contains(lp)),
            What::Enter(Place::Install) => under_way.is_none(),
            What::CallEnter(Leaf::SHUTDOWN) => match under_way {
                None => !self.decoder.follows(Place::Install),
                Some(u) => !self.decoder.follows(Place::Install) && u.is_spent(),
            },
            _ => false,
        }
    }

    /// Begins an update at this event.
    pub(crate) fn open(&mut self, event: &Event<'_>) {
        self.updates += 1;
        self.updates_in_upload += 1;
        let (serial, number) = (self.updates, self.upload.unwrap_or(self.updates));
        self.update = Some(Update::new(serial, number, *event.record, &self.online, self.setup.knows_online));
    }

    /// Takes note of an event. Returns whether it ended the update under way.
    pub(crate) fn apply(&mut self, event: &Event<'_>) -> bool {
        let entry = self.calls.get(usize::from(event.record.lp)).and_then(Option::as_ref);
        self.repetitions.observe(event.record, entry);
        self.host_time.observe(event.record);
        if let What::Mark(mark) = event.what {
            return self.apply_mark(mark, event.record);
        }
        let Some(lp) = event.lp().filter(|lp| self.has(*lp)) else { return false };
        let in_update = self.update_of(lp).is_some();
        match event.what {
            What::CallEnter(_) => self.calls[usize::from(lp)] = Some(*event.record),
            What::CallExit(..) => self.calls[usize::from(lp)] = None,
            What::Enter(Place::Stop) => drop(self.stopped.insert(lp)),
            What::Exit(Place::Stop, _) => drop(self.stopped.remove(lp)),
            What::Enter(Place::SetOnline) => self.set_online(event.record),
            _ => {}
        }
        self.last[usize::from(lp)] = Some(*event.record);
        let (lead, follows) = (self.setup.lead, self.decoder.follows(Place::Install));
        let watches = self.decoder.watches(Word::State);
        match self.update.as_mut().filter(|u| u.open) {
            Some(update) => {
                update.apply(event, lp, in_update, watches);
                if follows { update.everyone_left() } else { lead_finished(event, lead) }
            }
            None => false,
        }
    }

    fn apply_mark(&mut self, mark: u64, record: &Record) -> bool {
        if is_mark(mark, Mark::UpdateBegin) {
            (self.upload, self.updates_in_upload) = (Some(record.b as u32), 0);
        }
        let ends = is_mark(mark, Mark::UpdateEnd);
        if ends {
            self.upload = None;
        }
        ends && self.under_way().is_some()
    }

    /// Ends the update under way.
    pub(crate) fn close(&mut self) {
        if let Some(update) = &mut self.update {
            update.open = false;
        }
    }

    /// `set_cpu_online(cpu, online)`. Both 0 would take the boot CPU away, which never happens: then the recorder does not
    /// tell arguments.
    fn set_online(&mut self, record: &Record) {
        let (cpu, online) = (record.c as u16, record.d & 0xff != 0);
        if online {
            self.online.insert(cpu);
        } else if cpu != 0 {
            self.online.remove(cpu);
        }
    }

    /// Cites records as evidence, in their order, each once.
    pub(crate) fn cite<'a>(&self, records: impl IntoIterator<Item = &'a Record>) -> Vec<Cited> {
        let mut cited: Vec<_> = records.into_iter().map(|r| self.decoder.cite(r)).collect();
        cited.sort_by_key(|c| c.seq);
        cited.dedup_by_key(|c| c.seq);
        cited
    }

    /// A breach in the update under way, or in none.
    pub(crate) fn breach(&self, invariant: Invariant, lps: &[u16], step: Option<Step>) -> Breach {
        Breach {
            invariant,
            lps: lps.to_vec(),
            step: step.or_else(|| self.under_way().and_then(|u| u.step)),
            update: self.under_way().map(|u| u.number),
            expected: String::new(),
            seen: String::new(),
            events: Vec::new(),
        }
    }

    /// The step in which an LP of the update under way is.
    pub(crate) fn step_of(&self, lp: u16) -> Option<Step> {
        self.under_way().and_then(|u| u.position(lp))
    }

    /// The failure that the update under way met.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        self.under_way().and_then(|u| u.failure.as_ref())
    }
}

/// Completing a breach reads better as one sentence.
impl Breach {
    pub(crate) fn expected(mut self, text: impl Into<String>) -> Self {
        self.expected = text.into();
        self
    }

    pub(crate) fn seen(mut self, text: impl Into<String>) -> Self {
        self.seen = text.into();
        self
    }

    pub(crate) fn events(mut self, events: Vec<Cited>) -> Self {
        self.events = events;
        self
    }
}
