//! Private states, each stored once, with what it does next and where each input leads.

use super::facts::Facts;
use super::interpreter::{Interpreter, Ran};
use super::stop::Stop;
use super::vcpu::{Input, Pending, Vcpu, Write, stack};
use crate::image::{Memory, Source};
use crate::isa::{Registers, flag, gpr};
use std::collections::HashMap;

/// One private state.
#[derive(Debug)]
pub struct Local {
    /// The CPU, with what is dead set to zero.
    pub vcpu: Vcpu,
    /// What it does next.
    pub pending: Pending,
    after: Vec<(Input, u32, Option<Write>)>,
}

/// All private states of an exploration.
#[derive(Debug, Default)]
pub struct Locals {
    numbers: HashMap<Vcpu, u32>,
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

    /// The number of a private state.
    pub fn number<S: Source>(&mut self, ran: Ran, facts: &Facts, memory: &Memory<S>) -> u32 {
        let vcpu = without_dead(ran.vcpu, ran.pending, facts, memory);
        if let Some(number) = self.numbers.get(&vcpu) {
            return *number;
        }
        let number = self.all.len() as u32;
        self.numbers.insert(vcpu.clone(), number);
        self.all.push(Local { vcpu, pending: ran.pending, after: Vec::new() });
        number
    }

    /// Where `input` leads from a private state, and what it stores.
    pub fn step<S: Source>(
        &mut self,
        number: u32,
        input: Input,
        interpreter: &mut Interpreter<S>,
    ) -> Result<(u32, Option<Write>), Stop> {
        let known = self.get(number).after.iter().find(|(known, ..)| *known == input);
        if let Some((_, next, write)) = known {
            return Ok((*next, *write));
        }
        let ran = interpreter.run(self.get(number).vcpu.clone(), input)?;
        let write = ran.write;
        let next = self.number(ran, &interpreter.facts, &interpreter.memory);
        self.all[number as usize].after.push((input, next, write));
        self.transitions += 1;
        Ok((next, write))
    }
}

/// Drops what nobody can read any more: stack below its pointer (a read there ends the proof), words that are as in initial
/// memory, registers and flags that are written before they are read, and after the end all but the result.
fn without_dead<S: Source>(mut vcpu: Vcpu, pending: Pending, facts: &Facts, memory: &Memory<S>) -> Vcpu {
    let own = stack(vcpu.cpu);
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
