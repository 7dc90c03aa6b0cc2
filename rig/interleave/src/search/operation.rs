//! One operation of one CPU: the state that follows, and the rule that it breaks.

use super::choice::Choice;
use super::explorer::Explorer;
use super::state::State;
use crate::call::Call;
use crate::error::Unprovable;
use crate::firmware::{Failure, Firmware, Operands};
use crate::image::{Source, mask};
use crate::isa::{flag, gpr};
use crate::local::{Input, Pending, Stop, Write};
use crate::rules::Rule;

/// How an operation comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// There is no such operation in this state.
    Disabled,
    /// It leads to another state.
    Went,
    /// It breaks a rule.
    Broke(Rule),
}

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    /// `cpu` goes on in the way that `choice` says. The state that follows goes to `out`.
    pub(super) fn take(
        &self,
        state: &State<F::State>,
        cpu: usize,
        choice: Choice,
        out: &mut State<F::State>,
    ) -> Result<Taken, Stop> {
        if !self.is_possible(state, cpu, choice) {
            return Ok(Taken::Disabled);
        }
        out.take_from(state, self.words.len());
        let broken = if choice == Choice::Flush {
            self.flush(cpu, out)?
        } else {
            match self.pending(state, cpu) {
                Pending::Load { address, size } => self.take_load(cpu, address, size, out)?,
                Pending::Store(write) => self.take_store(cpu, write, out)?,
                Pending::Locked { address, size } => self.take_locked(cpu, address, size, out)?,
                Pending::Acquire { address, size } => {
                    if self.read(out, address, size)? != 0 {
                        return Ok(Taken::Disabled);
                    }
                    self.take_locked(cpu, address, size, out)?
                }
                Pending::Fence => self.advance(cpu, Input::Begin, out)?.1,
                Pending::Enter { rax, rdx } => self.take_enter(cpu, Call::new(rax, rdx), out)?,
                Pending::Leave => self.take_leave(cpu, choice.failure(), out)?,
                Pending::Done { .. } | Pending::Start => {
                    return Err(Unprovable::Uploader("the section starts another".into()).into());
                }
            }
        };
        self.drop_dead_nodes(out);
        if out.sweeps != 0 {
            self.end_sweeps(out)?;
        }
        Ok(match broken.or(self.broken_after(cpu, out)?) {
            Some(rule) => Taken::Broke(rule),
            None => Taken::Went,
        })
    }

    /// Whether the CPU can go on in this way; whether a lock is free is not looked at.
    fn is_possible(&self, state: &State<F::State>, cpu: usize, choice: Choice) -> bool {
        let local = self.locals.get(state.locals[cpu]);
        let is_empty = local.buffer().is_empty();
        match (choice, local.pending) {
            (Choice::Flush, _) => !is_empty,
            (_, Pending::Done { .. }) => false,
            (Choice::Fails(_), pending) => pending == Pending::Leave && state.ghost.may_fail(),
            // Locked instructions and SEAMCALL wait until the CPU's stores are visible.
            (_, Pending::Locked { .. } | Pending::Acquire { .. } | Pending::Fence | Pending::Enter { .. }) => is_empty,
            _ => true,
        }
    }

    /// What the private runs before all operations break.
    pub(super) fn broken_at_start(&self, first: &State<F::State>) -> Result<Option<Rule>, Stop> {
        (0..self.cpus())
            .map(|cpu| self.broken_after(cpu, first))
            .find(|broken| !matches!(broken, Ok(None)))
            .unwrap_or(Ok(None))
    }

    /// Rules about where the CPU is now: what it called, and whether it was the last to leave.
    fn broken_after(&self, cpu: usize, out: &State<F::State>) -> Result<Option<Rule>, Stop> {
        let local = self.locals.get(out.locals[cpu]);
        if local.any().forbidden {
            return Ok(Some(Rule::InterruptsOff));
        }
        if matches!(local.pending, Pending::Done { .. }) && self.is_end(out) {
            return self.judge_end(out);
        }
        Ok(None)
    }

    /// The CPU executes up to its next operation. Returns what becomes visible at once, and what its stores into its buffer
    /// break.
    fn advance(
        &self,
        cpu: usize,
        input: Input,
        out: &mut State<F::State>,
    ) -> Result<(Option<Write>, Option<Rule>), Stop> {
        let before = out.locals[cpu];
        let successor = self.locals.step(before, input)?;
        out.locals[cpu] = successor.next;
        let mut broken = None;
        if !successor.issued.is_empty() {
            let mut current = self.state_word(out, before)?;
            for write in &successor.issued {
                broken = broken.or(self.watch(cpu, *write, &mut current, out));
            }
        }
        Ok((successor.write, broken))
    }

    fn flush(&self, cpu: usize, out: &mut State<F::State>) -> Result<Option<Rule>, Stop> {
        let (write, _) = self.advance(cpu, Input::Flush, out)?;
        self.write(out, write.expect("a store leaves the buffer"))?;
        Ok(None)
    }

    fn take_load(&self, cpu: usize, address: u64, size: u8, out: &mut State<F::State>) -> Result<Option<Rule>, Stop> {
        self.follow_sweep(cpu, address, false, out)?;
        let value = self.view(out, out.locals[cpu], address, size)?;
        let reads_step = self.section.control.is_some_and(|control| address == control.state);
        let broken = match u8::try_from(value) {
            Ok(step) if reads_step => out.ghost.read_state(cpu, self.cpus(), step),
            // A step that is no step is none that anybody may begin.
            Err(_) if reads_step => Some(Rule::Lockstep),
            _ => None,
        };
        let (_, behind) = self.advance(cpu, Input::Value(value), out)?;
        Ok(broken.or(behind))
    }

    fn take_store(&self, cpu: usize, write: Write, out: &mut State<F::State>) -> Result<Option<Rule>, Stop> {
        let mut current = self.state_word(out, out.locals[cpu])?;
        self.advance(cpu, Input::Go, out)?;
        self.follow_sweep(cpu, write.address, true, out)?;
        self.write(out, write)?;
        Ok(self.watch(cpu, write, &mut current, out))
    }

    fn take_locked(&self, cpu: usize, address: u64, size: u8, out: &mut State<F::State>) -> Result<Option<Rule>, Stop> {
        if self.section.control.is_some_and(|control| control.state == address) {
            return Err(self.access_error("the update's step is changed by a locked instruction", address));
        }
        self.follow_sweep(cpu, address, true, out)?;
        let value = self.read(out, address, size)?;
        let mut current = self.state_word(out, out.locals[cpu])?;
        let (write, broken) = self.advance(cpu, Input::Value(value), out)?;
        let Some(write) = write.map(|write| self.own(write, cpu)) else { return Ok(broken) };
        self.write(out, write)?;
        Ok(self.watch(cpu, write, &mut current, out).or(broken))
    }

    fn take_enter(&self, cpu: usize, call: Call, out: &mut State<F::State>) -> Result<Option<Rule>, Stop> {
        let registers = &self.locals.get(out.locals[cpu]).any().registers;
        let enabled = registers.flags & flag::IF != 0;
        let [rax, rcx, rdx, r8] = [gpr::RAX, gpr::RCX, gpr::RDX, gpr::R8].map(|number| registers.gpr[number]);
        let operands = Operands { rax, rcx, rdx, r8 };
        self.advance(cpu, Input::Go, out)?;
        let in_loader = |other: usize| self.firmware.call(&out.firmware, other).is_some_and(Call::is_of_loader);
        let busy = (0..self.cpus()).any(in_loader);
        let accepted = self.firmware.enter(&mut out.firmware, cpu, call, operands)?;
        let broken = out.ghost.enter(cpu, self.cpus(), call, busy, !accepted);
        Ok(if enabled { Some(Rule::InterruptsOff) } else { broken })
    }

    fn take_leave(
        &self,
        cpu: usize,
        failure: Option<Failure>,
        out: &mut State<F::State>,
    ) -> Result<Option<Rule>, Stop> {
        let call = self.firmware.call(&out.firmware, cpu).expect("a CPU that leaves is inside");
        let reply = self.firmware.leave(&mut out.firmware, cpu, failure)?;
        out.ghost.leave(cpu, call, failure, reply.is_success());
        let (_, broken) = self.advance(cpu, Input::Reply(reply), out)?;
        Ok(broken)
    }

    /// What a store means to the rules. One that makes the count of acknowledgements another number than zero is the CPU's
    /// acknowledgement. `current` is the update's step as the CPU sees it. A store into a buffer counts when it is made: what it
    /// says is true from then on, and whoever reads it reads it later.
    fn watch(&self, cpu: usize, write: Write, current: &mut u64, out: &mut State<F::State>) -> Option<Rule> {
        let control = self.section.control?;
        let field = |address: u64| {
            let covers = write.address <= address && address < write.address + u64::from(write.size);
            covers.then(|| write.value >> ((address.wrapping_sub(write.address) & 7) * 8) & 0xffff_ffff)
        };
        let count = field(control.acknowledged).filter(|count| *count != 0);
        let acknowledged = count.and_then(|count| out.ghost.acknowledge(cpu, self.cpus(), count));
        let step = field(control.state).map(|to| (std::mem::replace(current, to), to));
        acknowledged.or_else(|| step.and_then(|(from, to)| out.ghost.store_state(self.cpus(), from, to)))
    }

    /// The update's step as a CPU in this private state sees it.
    fn state_word(&self, state: &State<F::State>, local: u32) -> Result<u64, Stop> {
        self.section.control.map_or(Ok(0), |control| {
            if self.has_slot(control.state) { self.view(state, local, control.state, 4) } else { Ok(0) }
        })
    }

    /// What a CPU in this private state reads: each byte from the last of its own stores that is not visible yet, or from memory.
    pub(super) fn view(&self, state: &State<F::State>, local: u32, address: u64, size: u8) -> Result<u64, Stop> {
        let (mut value, mut missing) = (0, mask(size));
        for write in self.locals.get(local).buffer().iter().rev() {
            // The word's bytes that the store has, moved to where the load has them.
            let within = |bits: u64| {
                let word = bits << ((write.address & 7) * 8);
                if write.address & !7 == address & !7 { word >> ((address & 7) * 8) & mask(size) } else { 0 }
            };
            let taken = within(mask(write.size)) & missing;
            value |= within(write.value) & taken;
            missing &= !taken;
        }
        if missing == 0 { Ok(value) } else { Ok(value | self.read(state, address, size)? & missing) }
    }

    pub(super) fn read(&self, state: &State<F::State>, address: u64, size: u8) -> Result<u64, Stop> {
        if self.dead_fields(address, size) & state.dead != 0 {
            return Err(self.access_error("a queue node that is not in use is read", address));
        }
        // The rules look at whole reads of the step. Other ways to read it would escape them.
        let whole =
            |start: u64| address == start && size == 4 || address + u64::from(size) <= start || start + 4 <= address;
        if self.section.control.is_some_and(|control| !whole(control.state)) {
            return Err(self.access_error("the update's step is read in a way that the rules do not see", address));
        }
        Ok(state.load(self.slot(address), address, size))
    }

    fn write(&self, state: &mut State<F::State>, write: Write) -> Result<(), Stop> {
        let touched = self.dead_fields(write.address, write.size) & state.dead;
        if touched != 0 {
            let whole = write.address.is_multiple_of(8)
                && (write.size == 8 || write.size == 4 && touched & 0x5555_5555_5555_5555 == 0);
            if !whole {
                return Err(self.access_error("a part of a queue node that is not in use is written", write.address));
            }
            state.dead &= !touched;
        }
        state.store(self.slot(write.address), write);
        Ok(())
    }

    pub(super) fn access_error(&self, what: &'static str, address: u64) -> Stop {
        let at = self.interpreter.memory.source().symbols().name(address);
        Unprovable::Access { what, at, address }.into()
    }
}
