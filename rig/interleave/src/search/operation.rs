//! One operation of one CPU: the state that follows, and the rule that it breaks.

use super::explorer::Explorer;
use super::state::State;
use crate::call::Call;
use crate::error::Unprovable;
use crate::firmware::{Failure, Firmware};
use crate::image::Source;
use crate::isa::flag;
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
    /// `cpu` does its next operation, with a failure if that is a SEAMCALL's return. The state that follows goes to `out`.
    pub(super) fn take(
        &mut self,
        state: &State<F::State>,
        cpu: usize,
        failure: Option<Failure>,
        out: &mut State<F::State>,
    ) -> Result<Taken, Stop> {
        let pending = self.locals.get(state.locals[cpu]).pending;
        if matches!(pending, Pending::Done { .. }) || failure.is_some() && pending != Pending::Leave {
            return Ok(Taken::Disabled);
        }
        out.clone_from(state);
        let broken = match pending {
            Pending::Load { address, size } => self.take_load(cpu, address, size, out)?,
            Pending::Store(_) | Pending::Locked { .. } => {
                let input = match pending {
                    Pending::Locked { address, .. } if self.section.control.is_some_and(|c| c.state == address) => {
                        return Err(self.access_error("the update's step is changed by a locked instruction", address));
                    }
                    Pending::Locked { address, size } => Input::Value(self.read(out, address, size)?),
                    _ => Input::Go,
                };
                if let Some(write) = self.advance(cpu, input, out)? {
                    self.write(out, write)?;
                    self.watch_acknowledgement(cpu, write, out);
                }
                None
            }
            Pending::Enter { rax, rdx } => self.take_enter(cpu, Call::new(rax, rdx), out)?,
            Pending::Leave => {
                if failure.is_some() && !state.ghost.may_fail() {
                    return Ok(Taken::Disabled);
                }
                self.take_leave(cpu, failure, out)?;
                None
            }
            Pending::Done { .. } | Pending::Start => {
                return Err(Unprovable::Uploader("the section starts another".into()).into());
            }
        };
        self.drop_dead_nodes(out);
        Ok(match broken.or(self.broken_after(cpu, out)?) {
            Some(rule) => Taken::Broke(rule),
            None => Taken::Went,
        })
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
        if local.vcpu.forbidden {
            return Ok(Some(Rule::InterruptsOff));
        }
        if matches!(local.pending, Pending::Done { .. }) && self.is_end(out) {
            return self.judge_end(out);
        }
        Ok(None)
    }

    fn advance(&mut self, cpu: usize, input: Input, out: &mut State<F::State>) -> Result<Option<Write>, Stop> {
        let (next, write) = self.locals.step(out.locals[cpu], input, self.interpreter)?;
        out.locals[cpu] = next;
        Ok(write)
    }

    fn take_load(
        &mut self,
        cpu: usize,
        address: u64,
        size: u8,
        out: &mut State<F::State>,
    ) -> Result<Option<Rule>, Stop> {
        let value = self.read(out, address, size)?;
        self.advance(cpu, Input::Value(value), out)?;
        if self.section.control.is_none_or(|control| address != control.state) {
            return Ok(None);
        }
        // A step that is no step is none that anybody may begin.
        let Ok(step) = u8::try_from(value) else { return Ok(Some(Rule::Lockstep)) };
        Ok(out.ghost.read_state(cpu, self.cpus(), step))
    }

    fn take_enter(&mut self, cpu: usize, call: Call, out: &mut State<F::State>) -> Result<Option<Rule>, Stop> {
        let enabled = self.locals.get(out.locals[cpu]).vcpu.registers.flags & flag::IF != 0;
        self.advance(cpu, Input::Go, out)?;
        let in_loader = |other: usize| self.firmware.call(&out.firmware, other).is_some_and(Call::is_of_loader);
        let busy = (0..self.cpus()).any(in_loader);
        let accepted = self.firmware.enter(&mut out.firmware, cpu, call);
        let broken = out.ghost.enter(cpu, self.cpus(), call, busy, !accepted);
        Ok(if enabled { Some(Rule::InterruptsOff) } else { broken })
    }

    fn take_leave(&mut self, cpu: usize, failure: Option<Failure>, out: &mut State<F::State>) -> Result<(), Stop> {
        let call = self.firmware.call(&out.firmware, cpu).expect("a CPU that leaves is inside");
        let reply = self.firmware.leave(&mut out.firmware, cpu, failure);
        self.advance(cpu, Input::Reply(reply), out)?;
        out.ghost.leave(cpu, call, failure, reply.is_success());
        Ok(())
    }

    /// A store that makes the count of acknowledgements another number than zero is the CPU's acknowledgement.
    fn watch_acknowledgement(&self, cpu: usize, write: Write, out: &mut State<F::State>) {
        let Some(count) = self.section.control.map(|control| control.acknowledged) else { return };
        let covers = write.address <= count && count < write.address + u64::from(write.size);
        if covers && write.value >> ((count.wrapping_sub(write.address) & 7) * 8) & 0xffff_ffff != 0 {
            out.ghost.acknowledge(cpu);
        }
    }

    fn read(&self, state: &State<F::State>, address: u64, size: u8) -> Result<u64, Stop> {
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
            let whole =
                write.address.is_multiple_of(8) && (write.size == 8 || write.size == 4 && touched & 0x5555 == 0);
            if !whole {
                return Err(self.access_error("a part of a queue node that is not in use is written", write.address));
            }
            state.dead &= !touched;
        }
        state.store(self.slot(write.address), write);
        Ok(())
    }

    fn access_error(&self, what: &'static str, address: u64) -> Stop {
        let at = self.interpreter.memory.source().symbols().name(address);
        Unprovable::Access { what, at, address }.into()
    }

    /// The fields of queue nodes that an access touches, as bits of [`State::dead`].
    fn dead_fields(&self, address: u64, size: u8) -> u16 {
        let end = address + u64::from(size);
        let touches = |start: u64, length: u64| address < start + length && start < end;
        let field = |(number, node): (usize, &super::section::QueueNode)| {
            u16::from(touches(node.start, 8)) << (2 * number)
                | u16::from(touches(node.start + 8, 4)) << (2 * number + 1)
        };
        self.section.nodes.iter().enumerate().map(field).fold(0, |all, bits| all | bits)
    }

    /// Sets the content of queue nodes that are not in use to zero, and marks it as dead.
    pub(super) fn drop_dead_nodes(&self, state: &mut State<F::State>) {
        if self.options.keeps_dead {
            return;
        }
        for (number, node) in self.section.nodes.iter().enumerate() {
            let (Ok(first), Ok(second)) =
                (self.words.binary_search(&node.start), self.words.binary_search(&(node.start + 8)))
            else {
                continue;
            };
            if state.words[second] >> 32 == 0 {
                state.words[first] = 0;
                state.words[second] = 0;
                state.dead |= 0b11 << (2 * number);
            }
        }
    }
}
