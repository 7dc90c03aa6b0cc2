//! One update, as far as it was seen.
//!
//! It begins with the first of: the store that initialises the state machine, an LP's entry into the install function, and
//! (when that function is not followed) SHUTDOWN's entry. It ends when every online LP has entered and left the install
//! function, or (when that is not followed) with UPDATE's end, at the latest when the uploader has its outcome.

use crate::Step;
use crate::lps::LpSet;
use crate::timeline::{Event, Leaf, Place, Status, What, Word};
use rig_wire::event::Record;

/// The first sign that a CPU failed.
#[derive(Clone, Debug)]
pub(crate) struct Failure {
    pub(crate) lp: u16,
    pub(crate) step: Option<Step>,
    pub(crate) record: Record,
}

/// What one LP did in an update.
#[derive(Clone, Debug, Default)]
pub(crate) struct LpPart {
    /// INSTALL's last entry, and whether it ended in a way that the kernel retries.
    pub(crate) install: Option<Record>,
    /// LP.INIT's last entry.
    pub(crate) init: Option<Record>,
    /// INSTALL came back.
    pub(crate) installed: bool,
    /// LP.INIT came back.
    pub(crate) initialised: bool,
    /// The state that it last read.
    pub(crate) read_state: Option<u64>,
    /// The last step of which it entered a SEAMCALL.
    pub(crate) called: Option<Step>,
    /// Its last acknowledgement.
    pub(crate) ack: Option<Record>,
}

/// One update.
#[derive(Debug)]
pub(crate) struct Update {
    /// Its place among all updates that were seen, from 1: tells one update from another.
    pub(crate) serial: u32,
    /// What people call it: the number of its upload where uploads are announced, else `serial`.
    pub(crate) number: u32,
    pub(crate) begun: Record,
    pub(crate) open: bool,
    /// LPs that were online when it began.
    pub(crate) online: LpSet,
    /// LPs that are inside the install function.
    pub(crate) inside: LpSet,
    /// LPs that entered it.
    pub(crate) entered: LpSet,
    /// The furthest step that was seen, and the event that began it.
    pub(crate) step: Option<Step>,
    pub(crate) step_begun: Record,
    /// SHUTDOWN's entry, unless it came back without success: then the old module answers as before.
    pub(crate) shutdown: Option<Record>,
    /// SHUTDOWN was entered, however it came out.
    pub(crate) tried_shutdown: bool,
    /// SHUTDOWN's successful end.
    pub(crate) shut_down: Option<Record>,
    /// SYS.INIT's entry.
    pub(crate) sys_init: Option<Record>,
    /// SYS.INIT's successful end.
    pub(crate) initialised: Option<Record>,
    /// UPDATE's successful end.
    pub(crate) completed: Option<Record>,
    /// UPDATE's end, however it came out.
    pub(crate) lead_done: Option<Record>,
    pub(crate) failure: Option<Failure>,
    /// SYS.INIT's last end, if it was none with success: then no LP may make LP.INIT.
    pub(crate) sys_init_failed: Option<Record>,
    pub(crate) parts: Vec<LpPart>,
    /// How many CPUs the kernel says are online.
    pub(crate) num_online: Option<(u64, Record)>,
    /// `online` is what was observed; else the kernel's count says how many must take part.
    knows_online: bool,
}

impl Update {
    pub(crate) fn new(serial: u32, number: u32, begun: Record, online: &LpSet, knows_online: bool) -> Self {
        Self {
            serial,
            number,
            begun,
            open: true,
            online: online.clone(),
            inside: LpSet::default(),
            entered: LpSet::default(),
            step: None,
            step_begun: begun,
            shutdown: None,
            tried_shutdown: false,
            shut_down: None,
            sys_init: None,
            initialised: None,
            completed: None,
            lead_done: None,
            failure: None,
            sys_init_failed: None,
            parts: Vec::new(),
            num_online: None,
            knows_online,
        }
    }

    /// The step that everybody has behind them in an update that came to its end: all of them, unless a CPU failed in one or
    /// nobody ever came. `follows`: entries into the install function are recorded.
    pub(crate) fn behind(&self, follows: bool) -> Step {
        match &self.failure {
            Some(failure) => failure.step.unwrap_or(Step::Start),
            None if !self.was_entered(follows) => Step::Start,
            None => Step::Done,
        }
    }

    /// Whether some LP entered the install function, or nobody can tell. `follows`: entries into it are recorded.
    pub(crate) fn was_entered(&self, follows: bool) -> bool {
        !follows || !self.entered.is_empty()
    }

    /// What this LP did.
    pub(crate) fn part(&self, lp: u16) -> LpPart {
        self.parts.get(usize::from(lp)).cloned().unwrap_or_default()
    }

    /// The step in which this LP is, by what it read or called last.
    pub(crate) fn position(&self, lp: u16) -> Option<Step> {
        let part = self.parts.get(usize::from(lp))?;
        part.read_state.and_then(Step::from_number).max(part.called)
    }

    /// Whether another SHUTDOWN must belong to another update.
    pub(crate) fn is_spent(&self) -> bool {
        self.failure.is_some() || self.step > Some(Step::Shutdown)
    }

    /// Takes note of an event on `lp`; `mine`: its SEAMCALLs belong to this update. `watched`: the state word is.
    pub(crate) fn apply(&mut self, event: &Event<'_>, lp: u16, mine: bool, watched: bool) {
        match event.what {
            What::CallEnter(leaf) if mine => self.call_entered(event, lp, leaf, watched),
            What::CallExit(leaf, status) if mine => self.call_ended(event, lp, leaf, status),
            What::Store(Word::State, value) => self.reach(Step::from_number(value), event.record),
            What::Load(Word::State, value) => self.part_mut(lp).read_state = Some(value),
            What::Load(Word::NumOnline, value) => self.num_online = Some((value, *event.record)),
            What::Store(Word::NumAck, value) if value != 0 => self.part_mut(lp).ack = Some(*event.record),
            What::Store(Word::NumFailed, value) if value != 0 => self.fail(event, lp),
            What::Enter(Place::Install) => {
                self.inside.insert(lp);
                self.entered.insert(lp);
            }
            What::Exit(Place::Install, result) => {
                self.inside.remove(lp);
                if result != 0 {
                    self.fail(event, lp);
                }
            }
            _ => {}
        }
    }

    fn call_entered(&mut self, event: &Event<'_>, lp: u16, leaf: Leaf, watched: bool) {
        let record = Some(*event.record);
        let part = self.part_mut(lp);
        part.called = part.called.max(leaf.step());
        match leaf {
            Leaf::INSTALL => (part.install, part.installed) = (record, false),
            Leaf::LP_INIT => (part.init, part.initialised) = (record, false),
            Leaf::SYS_INIT => self.sys_init = record,
            Leaf::SHUTDOWN => (self.shutdown, self.tried_shutdown) = (self.shutdown.or(record), true),
            _ => {}
        }
        if !watched {
            self.reach(leaf.step(), event.record);
        }
    }

    fn call_ended(&mut self, event: &Event<'_>, lp: u16, leaf: Leaf, status: Status) {
        if leaf == Leaf::SHUTDOWN && !status.is_success() {
            self.shutdown = None;
        }
        if leaf == Leaf::SYS_INIT {
            self.sys_init_failed = (!status.is_success()).then_some(*event.record);
        }
        if status.is_retried() {
            return self.call_will_be_retried(lp, leaf);
        }
        let part = self.part_mut(lp);
        match leaf {
            Leaf::INSTALL => part.installed = true,
            Leaf::LP_INIT => part.initialised = true,
            Leaf::UPDATE => self.lead_done = Some(*event.record),
            _ => {}
        }
        match leaf {
            Leaf::SHUTDOWN if status.is_success() => self.shut_down = Some(*event.record),
            Leaf::SYS_INIT if status.is_success() => self.initialised = Some(*event.record),
            Leaf::UPDATE if status.is_success() => self.completed = Some(*event.record),
            _ => {}
        }
        // The handoff version, which is SHUTDOWN's argument, is read just before it.
        let is_handoff = leaf == Leaf::SYS_RD && !self.tried_shutdown;
        if (leaf.step().is_some() || is_handoff) && !status.is_success() {
            self.fail(event, lp);
        }
    }

    /// A call that is made again counts for nothing.
    fn call_will_be_retried(&mut self, lp: u16, leaf: Leaf) {
        match leaf {
            Leaf::INSTALL => self.part_mut(lp).install = None,
            Leaf::LP_INIT => self.part_mut(lp).init = None,
            Leaf::SYS_INIT => self.sys_init = None,
            _ => {}
        }
    }

    fn fail(&mut self, event: &Event<'_>, lp: u16) {
        if self.failure.is_none() {
            let leaf_step = if let What::CallExit(leaf, _) = event.what { leaf.step() } else { None };
            let step = leaf_step.or_else(|| self.position(lp)).or(self.step);
            self.failure = Some(Failure { lp, step, record: *event.record });
        }
    }

    fn reach(&mut self, step: Option<Step>, record: &Record) {
        if step > self.step {
            self.step = step;
            self.step_begun = *record;
        }
    }

    /// Everybody came and went.
    pub(crate) fn everyone_left(&self) -> bool {
        self.inside.is_empty() && !self.entered.is_empty() && self.expected().without(&self.entered).is_empty()
    }

    /// LPs that must take part: those that were online at the start. Where the recorder does not tell who comes and goes and
    /// the kernel counts another number of them, the set is stale, and as many of those that entered must do.
    pub(crate) fn expected(&self) -> LpSet {
        match self.num_online {
            Some((count, _))
                if !self.knows_online && count != self.online.len() as u64 && self.entered.len() as u64 == count =>
            {
                self.entered.clone()
            }
            _ => self.online.clone(),
        }
    }

    /// The most acknowledgements that a step can have, as far as is known by now.
    pub(crate) fn most_acks(&self) -> u64 {
        let expected = self.expected().len() as u64;
        if self.knows_online {
            return expected;
        }
        let counted = self.num_online.map_or(0, |(count, _)| count);
        expected.max(counted).max(self.entered.len() as u64)
    }

    fn part_mut(&mut self, lp: u16) -> &mut LpPart {
        let index = usize::from(lp);
        if self.parts.len() <= index {
            self.parts.resize(index + 1, LpPart::default());
        }
        &mut self.parts[index]
    }
}

/// UPDATE's end on the lead, where nothing else tells an update's end.
pub(crate) fn lead_finished(event: &Event<'_>, lead: u16) -> bool {
    event.lp() == Some(lead) && matches!(event.what, What::CallExit(Leaf::UPDATE, s) if !s.is_retried())
}
