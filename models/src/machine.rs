//! The state machine: all CPUs, their memory, and the judge.

use crate::ghost::Ghost;
use crate::memory::Shared;
use crate::program::Context;
use crate::{Ack, Invariant, Memory, Op, Step, Twin, Word};
use stateright::{Model, Property};

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Machine {
    /// How acknowledgements are counted.
    pub ack: Ack,
    /// The deliberate error, if any.
    pub twin: Option<Twin>,
    /// When stores are seen.
    pub memory: Memory,
    /// CPUs, 2 to 8. The last one is offline at first and comes online whenever that is allowed, or never.
    pub cpus: usize,
}

/// How far the update is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Not begun.
    Before,
    /// It is known which CPUs take part.
    Chosen,
    /// They are in the section.
    Running,
}

/// Where a CPU is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Place {
    /// Not in the section, or no longer.
    Outside,
    /// About to load the step word.
    Look,
    /// At this operation of its program.
    At(usize),
    /// About to look whether the loop ends.
    Check,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Cpu {
    pub(crate) place: Place,
    /// The step that it saw last.
    pub(crate) step: u8,
    /// What it loaded or counted last.
    pub(crate) register: u8,
    pub(crate) failed: bool,
}

/// A state of everything.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub(crate) phase: Phase,
    /// Bits by CPU.
    pub(crate) online: u8,
    /// Bits by CPU.
    pub(crate) chosen: u8,
    pub(crate) shared: Shared,
    pub(crate) cpus: Vec<Cpu>,
    pub(crate) ghost: Ghost,
    /// What was broken first; nothing happens after that.
    pub(crate) broken: Option<Invariant>,
}

/// What can happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// The last CPU comes online.
    Plug,
    /// It is settled which CPUs take part; CPU hotplug is locked out.
    Choose,
    /// They enter the section.
    Stop,
    /// This CPU does its next operation.
    Go(usize),
    /// The SEAMCALL that this CPU is in fails.
    Fail(usize),
    /// The oldest store in this CPU's buffer reaches memory.
    Drain(usize),
}

impl Machine {
    fn context(&self, state: &State, cpu: usize) -> Context {
        let online = state.online.count_ones() as u8;
        let needed = match self.twin {
            Some(Twin::EarlyAdvance) => (online - 1).max(1),
            Some(Twin::NoHotplugLock) => (state.chosen & state.online).count_ones() as u8,
            Some(Twin::OneCpu) => 1,
            _ => online,
        };
        let last = state.online.ilog2() as usize;
        Context { ack: self.ack, twin: self.twin, cpu, last, needed }
    }

    pub(crate) fn program(&self, state: &State, cpu: usize) -> Vec<Op> {
        self.context(state, cpu).program(Step::from_number(state.cpus[cpu].step))
    }

    pub(crate) fn op(&self, state: &State, cpu: usize) -> Option<Op> {
        match state.cpus[cpu].place {
            Place::At(at) => self.program(state, cpu).get(at).copied(),
            _ => None,
        }
    }

    fn can_go(&self, state: &State, cpu: usize) -> bool {
        match self.op(state, cpu) {
            Some(Op::Take(lock)) => state.shared.is_drained(cpu) && state.shared.load(cpu, lock) == 0,
            Some(Op::AddAck | Op::AddFailed) => state.shared.is_drained(cpu),
            _ => state.cpus[cpu].place != Place::Outside,
        }
    }

    /// Whether a CPU waits for something that only others can bring about.
    fn waits(&self, state: &State, cpu: usize) -> bool {
        let Cpu { place, step, .. } = state.cpus[cpu];
        let idle = state.shared.load(cpu, Word::Step) == step && state.shared.load(cpu, Word::NumFailed) == 0;
        match place {
            Place::Outside => true,
            Place::Look => idle,
            Place::Check => idle && step != Step::Done as u8,
            Place::At(_) => !self.can_go(state, cpu),
        }
    }

    /// All that are left wait for one another.
    fn is_stuck(&self, state: &State) -> bool {
        let all = 0..self.cpus;
        !is_over(state)
            && state.phase == Phase::Running
            && all.clone().all(|cpu| state.shared.is_drained(cpu))
            && all.clone().all(|cpu| self.waits(state, cpu))
    }
}

/// All CPUs have left.
pub(crate) fn is_over(state: &State) -> bool {
    state.phase == Phase::Running && state.cpus.iter().all(|cpu| cpu.place == Place::Outside)
}

impl Model for Machine {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let cpu = Cpu { place: Place::Outside, step: 0, register: 0, failed: false };
        vec![State {
            phase: Phase::Before,
            online: (1 << (self.cpus - 1)) - 1,
            chosen: 0,
            shared: Shared::new(self.memory, self.cpus),
            cpus: vec![cpu; self.cpus],
            ghost: Ghost::new(self.cpus),
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        let locked_out = state.phase != Phase::Before && self.twin != Some(Twin::NoHotplugLock);
        if state.phase != Phase::Running && !locked_out && state.online >> (self.cpus - 1) == 0 {
            actions.push(Action::Plug);
        }
        match state.phase {
            Phase::Before => actions.push(Action::Choose),
            Phase::Chosen => actions.push(Action::Stop),
            Phase::Running => {}
        }
        for cpu in 0..self.cpus {
            if self.can_go(state, cpu) {
                actions.push(Action::Go(cpu));
            }
            let may_fail = matches!(self.op(state, cpu), Some(Op::Exit { counts: true, .. }));
            if may_fail && state.ghost.failed_in.is_none() {
                actions.push(Action::Fail(cpu));
            }
            if !state.shared.is_drained(cpu) {
                actions.push(Action::Drain(cpu));
            }
        }
    }

    fn next_state(&self, before: &State, action: Action) -> Option<State> {
        let mut state = before.clone();
        match action {
            Action::Plug => state.online |= 1 << (self.cpus - 1),
            Action::Choose => {
                state.phase = Phase::Chosen;
                state.chosen = if self.twin == Some(Twin::OneCpu) { 1 } else { state.online };
            }
            Action::Stop => self.stop(&mut state),
            Action::Go(cpu) => self.go(&mut state, cpu),
            Action::Fail(cpu) => {
                let Place::At(at) = state.cpus[cpu].place else { unreachable!("it is in a SEAMCALL") };
                self.operate(&mut state, cpu, at, true);
            }
            Action::Drain(cpu) => _ = state.shared.drain(cpu),
        }
        if state.broken.is_none() && self.is_stuck(&state) {
            state.broken = Some(Invariant::Progress);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(Invariant::Participation.name(), |_, s: &State| {
                s.broken != Some(Invariant::Participation)
            }),
            Property::always(Invariant::Lockstep.name(), |_, s: &State| s.broken != Some(Invariant::Lockstep)),
            Property::always(Invariant::LeadOnly.name(), |_, s: &State| s.broken != Some(Invariant::LeadOnly)),
            Property::always(Invariant::UpdateOnly.name(), |_, s: &State| s.broken != Some(Invariant::UpdateOnly)),
            Property::always(Invariant::SerialLoader.name(), |_, s: &State| s.broken != Some(Invariant::SerialLoader)),
            Property::always(Invariant::Progress.name(), |_, s: &State| s.broken != Some(Invariant::Progress)),
            Property::always(Invariant::StopOnFailure.name(), |_, s: &State| {
                s.broken != Some(Invariant::StopOnFailure)
            }),
            Property::sometimes(UPDATED, |_, s: &State| {
                is_over(s) && s.broken.is_none() && s.ghost.failed_in.is_none()
            }),
            Property::sometimes(FAILED, |_, s: &State| is_over(s) && s.broken.is_none() && s.ghost.failed_in.is_some()),
        ]
    }
}

/// Name of the property that an update can succeed.
pub(crate) const UPDATED: &str = "an update can succeed";
/// Name of the property that an update can fail in good order.
pub(crate) const FAILED: &str = "an update can fail in good order";
