//! Private states, each stored once, with what it does next and where each input leads.
//!
//! CPUs that are taken as alike share their private states: one number then stands for a state of each of them, and all of them
//! are executed together. They have to do the same, operation for operation; where they do not, the proof ends. So by induction
//! each of them goes exactly the ways that the numbers say, and exchanging two of them exchanges nothing else.

use super::interpreter::{Interpreter, Ran};
use super::layout::Layout;
use super::stop::Stop;
use super::vcpu::{Input, Pending, Vcpu, Write};
use crate::error::Unprovable;
use crate::image::Source;
use crate::isa::{Registers, flag, gpr};
use std::collections::HashMap;

/// One private state.
#[derive(Debug)]
pub struct Local {
    /// The CPUs that share it, with what is dead set to zero.
    members: Vec<Vcpu>,
    /// What it does next.
    pub pending: Pending,
    after: Vec<(Input, Successor)>,
}

/// Where an input leads.
#[derive(Clone, Debug)]
pub struct Successor {
    /// The number of the private state that follows.
    pub next: u32,
    /// What becomes visible at once.
    pub write: Option<Write>,
    /// What goes to the CPU's buffer.
    pub issued: Box<[Write]>,
}

impl Local {
    /// The state of `cpu`, which is one of those that share it.
    pub fn of(&self, cpu: usize) -> &Vcpu {
        let own = |vcpu: &&Vcpu| usize::from(vcpu.cpu) == cpu;
        self.members.iter().find(own).expect("a CPU is in one of its own private states")
    }

    /// Stores that are not visible yet.
    pub fn buffer(&self) -> &[Write] {
        &self.members[0].buffer
    }

    /// The state of one of the CPUs that share it: where these are alike.
    pub fn any(&self) -> &Vcpu {
        &self.members[0]
    }
}

/// All private states of an exploration.
#[derive(Debug, Default)]
pub struct Locals {
    numbers: HashMap<Vec<Vcpu>, u32>,
    all: Vec<Local>,
    transitions: usize,
}

impl Locals {
    /// The private state with a number.
    pub fn get(&self, number: u32) -> &Local {
        &self.all[number as usize]
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// How many (private state, input) pairs were executed.
    pub fn transitions(&self) -> usize {
        self.transitions
    }

    /// The number of a private state: of one CPU, or of several that are alike.
    pub fn number<S: Source>(&mut self, ran: Vec<Ran>, interpreter: &Interpreter<S>) -> Result<u32, Stop> {
        let pending = ran[0].pending;
        if let Some(other) = ran.iter().find(|other| !are_alike(&ran[0], other, &interpreter.layout)) {
            let address = other.vcpu.registers.rip;
            let what = "CPUs that are taken as alike do something different";
            return Err(
                Unprovable::Access { what, at: interpreter.memory.source().symbols().name(address), address }.into()
            );
        }
        let without = |ran: Ran| without_dead(ran.vcpu, ran.pending, interpreter);
        let members: Vec<Vcpu> = ran.into_iter().map(without).collect();
        if let Some(number) = self.numbers.get(&members) {
            return Ok(*number);
        }
        let number = self.all.len() as u32;
        self.numbers.insert(members.clone(), number);
        self.all.push(Local { members, pending, after: Vec::new() });
        Ok(number)
    }

    /// Where `input` leads from a private state, if that was executed.
    pub fn step(&self, number: u32, input: Input) -> Result<&Successor, Stop> {
        let known = self.get(number).after.iter().find(|(known, _)| *known == input);
        known.map(|(_, step)| step).ok_or(Stop::Unexecuted { local: number, input })
    }

    /// Executes `input` from a private state.
    pub fn execute<S: Source>(
        &mut self,
        number: u32,
        input: Input,
        interpreter: &mut Interpreter<S>,
    ) -> Result<(), Stop> {
        if self.step(number, input).is_ok() {
            return Ok(());
        }
        let members = self.get(number).members.clone();
        let pending = self.get(number).pending;
        let run = |vcpu: Vcpu| {
            if input == Input::Flush { Ok(flushed(vcpu, pending)) } else { interpreter.run(vcpu, input) }
        };
        let ran: Vec<Ran> = members.into_iter().map(run).collect::<Result<_, _>>()?;
        let (write, issued) = (ran[0].write, ran[0].issued.clone().into_boxed_slice());
        let next = self.number(ran, interpreter)?;
        self.all[number as usize].after.push((input, Successor { next, write, issued }));
        self.transitions += 1;
        Ok(())
    }
}

/// The oldest store leaves the buffer.
fn flushed(mut vcpu: Vcpu, pending: Pending) -> Ran {
    let write = Some(vcpu.buffer.remove(0));
    Ran { vcpu, write, issued: Vec::new(), pending }
}

/// Whether two CPUs did the same as far as others can notice, are about to do the same, and have the same marks. A word of a CPU's
/// own area is the same as that of the other's.
fn are_alike(one: &Ran, other: &Ran, layout: &Layout) -> bool {
    let seen = |ran: &Ran| {
        let Vcpu { registers, inside, warned, forbidden, holds, .. } = &ran.vcpu;
        let interrupts = registers.flags & flag::IF;
        let own = layout.area(ran.vcpu.cpu.into());
        let offset = |address: u64| if own.contains(&address) { address - own.start } else { address };
        let write = |write: Write| Write { address: offset(write.address), ..write };
        let pending = match ran.pending {
            Pending::Load { address, size } => Pending::Load { address: offset(address), size },
            Pending::Store(store) => Pending::Store(write(store)),
            Pending::Locked { address, size } => Pending::Locked { address: offset(address), size },
            Pending::Acquire { address, size } => Pending::Acquire { address: offset(address), size },
            pending => pending,
        };
        (pending, ran.write.map(write), registers.rip, interrupts, *inside, *warned, *forbidden, *holds)
    };
    let is_plain = |ran: &Ran| ran.issued.is_empty() && ran.vcpu.buffer.is_empty();
    seen(one) == seen(other) && (one.vcpu.cpu == other.vcpu.cpu || is_plain(one) && is_plain(other))
}

/// Drops what nobody can read any more: stack below its pointer (a read there ends the proof), words that are as in initial
/// memory, registers and flags that are written before they are read, and after the end all but the result.
fn without_dead<S: Source>(mut vcpu: Vcpu, pending: Pending, interpreter: &Interpreter<S>) -> Vcpu {
    let Interpreter { facts, memory, layout, .. } = interpreter;
    let own = layout.stack(vcpu.cpu);
    let done = matches!(pending, Pending::Done { .. });
    let top = if done { u64::MAX } else { vcpu.registers.gpr[gpr::RSP] };
    let dead = |address: u64| own.contains(&address) && address.saturating_add(8) <= top;
    vcpu.words.retain(|(address, value)| !dead(*address) && memory.word(*address) != Some(*value));
    if let Pending::Done { returned } = pending {
        let registers = &vcpu.registers;
        let mut last = Registers { rip: registers.rip, flags: registers.flags & flag::IF, ..Registers::default() };
        last.gpr[gpr::RAX] = returned.into();
        vcpu.registers = last;
        return vcpu;
    }
    let live = facts.live(vcpu.registers.rip);
    for (number, register) in vcpu.registers.gpr.iter_mut().enumerate() {
        if live >> number & 1 == 0 {
            *register = 0;
        }
    }
    let flags = (live >> 16) as u8 | flag::IF;
    vcpu.registers.flags &= flags;
    vcpu.registers.undefined &= flags;
    vcpu
}
