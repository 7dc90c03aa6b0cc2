//! A timeline as a picture: lanes of CPUs, what each did when, and who handed over to whom.
//!
//! Both [`crate::report::perfetto`] and [`crate::report::html`] draw it. It is made after a run, from its recording.

use crate::Setup;
use crate::Step;
use crate::oracle::is_report;
use crate::timeline::{Event, Leaf, Place, Status, What, Word, is_guests, is_mark};
use crate::tracker::Tracker;
use rig_wire::event::{Kind, Mark, Record, flags};
use serde::Serialize;

/// Calls outside updates that are kept; a run under load has millions, which no eye would tell apart.
const OTHER_CALLS_MAX: usize = 20_000;

/// The picture of a run. All times are nanoseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Scene {
    /// Whether times are the guest's; else the guest's clock was not read, and each event counts for a microsecond.
    pub guest_time: bool,
    /// The time of the first event and of the last.
    pub span_ns: (u64, u64),
    /// One for each LP.
    pub lanes: Vec<Lane>,
    /// From each last acknowledgement to the next step of each CPU.
    pub handovers: Vec<Handover>,
    /// Begin and end of each update.
    pub updates: Vec<Span>,
    /// Lines of the console.
    pub console: Vec<ConsoleLine>,
    /// Points that the rig or the agent marked, holds, and changes of the module's state.
    pub moments: Vec<Moment>,
    /// Calls that are not drawn because there are too many of them.
    pub calls_left_out: u64,
}

/// What one LP did.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Lane {
    /// The LP.
    pub lp: u16,
    /// Its steps, in order.
    pub steps: Vec<StepSlice>,
    /// Its SEAMCALLs, in order.
    pub calls: Vec<CallSlice>,
}

/// One LP in one step.
#[derive(Clone, Debug, Serialize)]
pub struct StepSlice {
    /// Which update, from 1.
    pub update: u32,
    /// Which step.
    pub step: Step,
    /// When it saw the state, or entered the step's first SEAMCALL.
    pub begin_ns: u64,
    /// When it acknowledged the step, or left its last SEAMCALL; from there on it waits.
    pub acked_ns: Option<u64>,
    /// When it saw the next state, or left.
    pub end_ns: u64,
}

/// One SEAMCALL.
#[derive(Clone, Debug, Serialize)]
pub struct CallSlice {
    /// The leaf's name.
    pub leaf: String,
    /// Entry.
    pub begin_ns: u64,
    /// Exit; none when it never returned.
    pub end_ns: Option<u64>,
    /// Its status, none for success.
    pub status: Option<String>,
    /// Interrupts were enabled.
    pub interrupts: bool,
}

/// A change of the state.
#[derive(Clone, Debug, Serialize)]
pub struct Handover {
    /// The step that begins.
    pub step: Step,
    /// Who stored the state.
    pub from_lp: u16,
    /// When.
    pub from_ns: u64,
    /// Who saw it when.
    pub to: Vec<(u16, u64)>,
}

/// Begin and end.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Span {
    /// Which update, from 1.
    pub update: u32,
    /// Begin.
    pub begin_ns: u64,
    /// End.
    pub end_ns: u64,
}

/// One line of the console.
#[derive(Clone, Debug, Serialize)]
pub struct ConsoleLine {
    /// When.
    pub at_ns: u64,
    /// The line.
    pub text: String,
    /// The kernel reports a fault of its own in it.
    pub is_report: bool,
}

/// Something that happened at one point.
#[derive(Clone, Debug, Serialize)]
pub struct Moment {
    /// When.
    pub at_ns: u64,
    /// On which LP, if on one.
    pub lp: Option<u16>,
    /// What, for people.
    pub what: String,
}

impl Scene {
    /// Draws a timeline. `console` are the lines to which its console records refer.
    pub fn of(setup: &Setup, records: impl IntoIterator<Item = Record>, console: &[String]) -> Self {
        let mut painter = Painter::new(setup);
        for record in records {
            painter.paint(&record, console);
        }
        painter.finish()
    }

    /// When the event with this place in the order happened, as the picture counts time.
    pub fn time_of(&self, seq: u64, guest_ns: u64) -> u64 {
        if self.guest_time { guest_ns } else { seq.saturating_mul(1000) }
    }
}

/// Draws while it reads.
struct Painter {
    scene: Scene,
    past: Tracker,
    /// Whether times are the guest's; none before the first event of the guest.
    guest_time: Option<bool>,
    now_ns: u64,
    other_calls: usize,
}

impl Painter {
    fn new(setup: &Setup) -> Self {
        let lanes = (0..setup.lps).map(|lp| Lane { lp, ..Lane::default() }).collect();
        let scene = Scene { lanes, ..Scene::default() };
        Self { scene, past: Tracker::new(setup.clone()), guest_time: None, now_ns: 0, other_calls: 0 }
    }

    fn paint(&mut self, record: &Record, console: &[String]) {
        self.tell_time(record);
        let event = self.past.decoder.decode(record);
        if self.past.begins_update(&event) {
            self.end_update();
            self.past.open(&event);
            let update = self.past.under_way().map_or(0, |update| update.number);
            self.scene.updates.push(Span { update, begin_ns: self.now_ns, end_ns: self.now_ns });
        }
        self.draw(&event, console);
        if self.past.apply(&event) {
            self.end_update();
        }
    }

    fn tell_time(&mut self, record: &Record) {
        if self.guest_time.is_none() && is_guests(record) {
            self.guest_time = Some(record.guest_ns != 0);
        }
        if record.kind == Kind::Console as u16 {
            // The kernel stamps its lines with a clock of its own; they count as of the event before them.
            return;
        }
        let ns = if self.guest_time == Some(false) { record.seq.saturating_mul(1000) } else { record.guest_ns };
        if self.scene.span_ns == (0, 0) && ns != 0 {
            self.scene.span_ns = (ns, ns);
        }
        self.now_ns = self.now_ns.max(ns);
        self.scene.span_ns.1 = self.now_ns;
    }

    fn draw(&mut self, event: &Event<'_>, console: &[String]) {
        let lp = event.lp().filter(|lp| self.past.has(*lp));
        match (event.what, lp) {
            (What::CallEnter(leaf), Some(lp)) => self.call(lp, leaf, event.record),
            (What::CallExit(leaf, status), Some(lp)) => self.call_ended(lp, leaf, status),
            (What::Load(Word::State, value), Some(lp)) => self.sees(lp, Step::from_number(value)),
            (What::Store(Word::State, value), Some(lp)) => self.hand_over(lp, Step::from_number(value)),
            (What::Store(Word::NumAck, count), Some(lp)) if count != 0 => self.acknowledge(lp),
            (What::Exit(Place::Install, _), Some(lp)) => self.end_step(lp),
            (What::Mark(mark), _) if !is_mark(mark, Mark::RunEnd) => self.moment(event),
            (What::Other, _) => self.other(event, console),
            _ => {}
        }
    }

    fn other(&mut self, event: &Event<'_>, console: &[String]) {
        match Kind::from_u16(event.record.kind) {
            Some(Kind::Console) => {
                let text = console.get(event.record.a as usize).cloned().unwrap_or_default();
                let is_report = is_report(&text);
                self.scene.console.push(ConsoleLine { at_ns: self.now_ns, text, is_report });
            }
            Some(Kind::ModuleState | Kind::HoldBegin | Kind::HoldEnd | Kind::Unknown) => self.moment(event),
            _ => {}
        }
    }

    fn moment(&mut self, event: &Event<'_>) {
        let what = self.past.decoder.describe(event.record);
        self.scene.moments.push(Moment { at_ns: self.now_ns, lp: event.lp(), what });
    }

    fn call(&mut self, lp: u16, leaf: Leaf, record: &Record) {
        let in_update = self.past.update_of(lp).is_some();
        if !in_update {
            self.other_calls += 1;
            if self.other_calls > OTHER_CALLS_MAX {
                self.scene.calls_left_out += 1;
                return;
            }
        }
        if in_update && !self.past.decoder.watches(Word::State) {
            self.sees(lp, leaf.step());
        }
        let interrupts = record.flags & flags::IF != 0;
        let call = CallSlice { leaf: leaf.name(), begin_ns: self.now_ns, end_ns: None, status: None, interrupts };
        self.lane(lp).calls.push(call);
    }

    fn call_ended(&mut self, lp: u16, leaf: Leaf, status: Status) {
        let now_ns = self.now_ns;
        // A TD's exits are statuses of their own; only an error class (bit 63) says that it did not run.
        let td_exit = leaf == Leaf::VP_ENTER && matches!(status, Status::Returned(value) if value >> 63 == 0);
        let status = (!status.is_success() && !td_exit).then(|| status.name());
        if let Some(call) =
            self.lane(lp).calls.last_mut().filter(|call| call.end_ns.is_none() && call.leaf == leaf.name())
        {
            (call.end_ns, call.status) = (Some(now_ns), status);
        }
        if !self.past.decoder.watches(Word::State) && self.past.update_of(lp).is_some() && leaf.step().is_some() {
            self.acknowledge(lp);
            self.lane(lp).steps.iter_mut().for_each(|s| s.end_ns = s.end_ns.max(s.acked_ns.unwrap_or(0)));
        }
    }

    /// This LP sees the state, and begins the step unless it is in it.
    fn sees(&mut self, lp: u16, step: Option<Step>) {
        let (Some(step), Some(update)) = (step.filter(|s| *s != Step::Start), self.past.under_way()) else { return };
        let (update, now_ns) = (update.number, self.now_ns);
        if self.lane(lp).steps.last().is_some_and(|s| (s.update, s.step) == (update, step)) {
            return;
        }
        self.end_step(lp);
        self.lane(lp).steps.push(StepSlice { update, step, begin_ns: now_ns, acked_ns: None, end_ns: 0 });
        let handover = self.scene.handovers.iter_mut().rev().find(|h| h.step == step);
        if let Some(handover) = handover.filter(|h| h.from_lp != lp && !h.to.iter().any(|(to, _)| *to == lp)) {
            handover.to.push((lp, now_ns));
        }
    }

    fn hand_over(&mut self, lp: u16, step: Option<Step>) {
        if let Some(step) = step.filter(|s| *s > Step::Shutdown) {
            let from_ns = self.now_ns;
            self.scene.handovers.push(Handover { step, from_lp: lp, from_ns, to: Vec::new() });
        }
    }

    fn acknowledge(&mut self, lp: u16) {
        let now_ns = self.now_ns;
        if let Some(step) = self.lane(lp).steps.last_mut() {
            step.acked_ns = Some(now_ns);
        }
    }

    fn end_step(&mut self, lp: u16) {
        let now_ns = self.now_ns;
        if let Some(step) = self.lane(lp).steps.last_mut().filter(|s| s.end_ns == 0) {
            step.end_ns = now_ns;
        }
    }

    fn end_update(&mut self) {
        let now_ns = self.now_ns;
        if self.past.under_way().is_some()
            && let Some(span) = self.scene.updates.last_mut()
        {
            span.end_ns = now_ns;
        }
        (0..self.scene.lanes.len() as u16).for_each(|lp| self.end_step(lp));
        self.past.close();
    }

    fn lane(&mut self, lp: u16) -> &mut Lane {
        &mut self.scene.lanes[usize::from(lp)]
    }

    fn finish(mut self) -> Scene {
        self.end_update();
        self.scene.guest_time = self.guest_time.unwrap_or(true);
        self.scene
    }
}
