//! Runs a CPU from one operation that others can notice to the next.

use super::decoded::Effects;
use super::facts::Facts;
use super::stop::Stop;
use super::vcpu::{Input, Pending, RETURN, Vcpu, Write};
use super::window::Window;
use crate::contract::{Contract, Contracts, Effect};
use crate::error::Unprovable;
use crate::image::{Memory, Source};
use crate::isa::{Next, execute, flag, gpr};
use iced_x86::{Decoder, DecoderOptions, Instruction};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Private instructions after which a CPU is taken to loop, and those more during which is watched what it reads.
const LONG: usize = 100_000;
const WATCHED: usize = 1_000;

/// What registers hold that a function may change and that must not be read after it.
const CLOBBERED: u64 = 0xdead_c10b_dead_c10b;

/// Decodes and executes, and collects facts.
#[derive(Debug)]
pub struct Interpreter<S> {
    /// Initial memory.
    pub memory: Memory<S>,
    /// Functions that are not executed.
    pub contracts: Contracts,
    /// The GS base of each CPU.
    pub gs_bases: Vec<u64>,
    /// What was found so far.
    pub facts: Facts,
    decoded: HashMap<u64, (Instruction, Effects)>,
    used: BTreeMap<&'static str, Contract>,
    executed: u64,
}

/// Where a private run ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The CPU, before its next operation.
    pub vcpu: Vcpu,
    /// The store that the first operation made.
    pub write: Option<Write>,
    /// The next operation.
    pub pending: Pending,
}

impl<S: Source> Interpreter<S> {
    /// An interpreter that has executed nothing yet.
    pub fn new(memory: Memory<S>, contracts: Contracts, gs_bases: Vec<u64>, facts: Facts) -> Self {
        Self { memory, contracts, gs_bases, facts, decoded: HashMap::new(), used: BTreeMap::new(), executed: 0 }
    }

    /// How many instructions were executed.
    pub fn executed(&self) -> u64 {
        self.executed
    }

    /// The contracts that were used.
    pub fn used(&self) -> impl Iterator<Item = &Contract> {
        self.used.values()
    }

    /// Bytes of every instruction that was executed, in the order of addresses.
    pub fn code(&self) -> BTreeMap<u64, Vec<u8>> {
        let bytes = |address: u64, (instruction, _): &(Instruction, Effects)| {
            let mut code = self.memory.code(address).unwrap_or_default();
            code.truncate(instruction.len());
            code
        };
        self.decoded.iter().map(|(address, decoded)| (*address, bytes(*address, decoded))).collect()
    }

    /// From an operation, with its result, to the next one.
    pub fn run(&mut self, mut vcpu: Vcpu, input: Input) -> Result<Ran, Stop> {
        let (mut input, mut write) = (Some(input), None);
        let mut waiting = BTreeSet::new();
        for steps in 0.. {
            let rip = vcpu.registers.rip;
            if rip == RETURN {
                let returned = vcpu.registers.gpr[gpr::RAX] as u32;
                return Ok(Ran { vcpu, write, pending: Pending::Done { returned } });
            }
            if steps >= LONG + WATCHED {
                return Err(self.endless(rip, &waiting));
            }
            let watched = (steps >= LONG).then_some(&mut waiting);
            let (next, effects, after) = match self.contracts.at(rip).copied() {
                Some(Contract { effect: Effect::Starts, .. }) => {
                    return Ok(Ran { vcpu, write, pending: Pending::Start });
                }
                Some(contract) => (self.replace(&mut vcpu, contract)?, Effects::of_contract(), vcpu),
                None => match self.instruction(&vcpu, &mut input, &mut write, watched)? {
                    One::Done { next, effects, vcpu } => (next, effects, vcpu),
                    One::Pending { pending, vcpu } => return Ok(Ran { vcpu, write, pending }),
                },
            };
            self.facts.step(rip, next, effects, self.memory.source().symbols())?;
            vcpu = after;
            vcpu.registers.rip = next;
        }
        unreachable!("the loop ends by itself")
    }

    /// A function that is not executed returns at once.
    fn replace(&mut self, vcpu: &mut Vcpu, contract: Contract) -> Result<u64, Stop> {
        self.used.insert(contract.function, contract);
        let at = vcpu.registers.rip;
        let top = vcpu.registers.gpr[gpr::RSP];
        let Some(back) = vcpu.word(top) else {
            let at = self.memory.source().symbols().name(at);
            return Err(Unprovable::Access {
                what: "a function is entered without a return address",
                at,
                address: top,
            }
            .into());
        };
        for changed in [gpr::RCX, gpr::RDX, gpr::RSI, gpr::RDI, gpr::R8, gpr::R9, gpr::R10, gpr::R11] {
            vcpu.registers.gpr[changed] = CLOBBERED;
        }
        vcpu.registers.gpr[gpr::RAX] = match contract.effect {
            Effect::Returns(value) => value,
            Effect::Forbidden | Effect::Starts => 0,
        };
        vcpu.forbidden |= contract.effect == Effect::Forbidden;
        vcpu.registers.gpr[gpr::RSP] = top + 8;
        Ok(back)
    }

    /// One instruction, on a copy of the CPU that is thrown away if the instruction cannot be finished now.
    fn instruction(
        &mut self,
        before: &Vcpu,
        input: &mut Option<Input>,
        write: &mut Option<Write>,
        waiting: Option<&mut BTreeSet<u64>>,
    ) -> Result<One, Stop> {
        let (instruction, effects) = self.decode(before.registers.rip)?;
        self.executed += 1;
        let mut vcpu = before.clone();
        let mut registers = vcpu.registers.clone();
        let given = input.take();
        let mut window = Window {
            cpu: before.cpu,
            at: before.registers.rip,
            own: &mut vcpu,
            facts: &mut self.facts,
            memory: &self.memory,
            offered: if let Some(Input::Value(value)) = given { Some(value) } else { before.latch },
            permitted: given == Some(Input::Go),
            loaded: None,
            stored: None,
            waiting,
        };
        let result = execute(&mut registers, &instruction, self.gs_bases[usize::from(before.cpu)], &mut window);
        let (loaded, stored) = (window.loaded, window.stored);
        let next = match result {
            Ok(next) => next,
            Err(Stop::At(pending)) => {
                let latch = if matches!(pending, Pending::Store(_)) { loaded } else { None };
                return Ok(One::Pending { pending, vcpu: Vcpu { latch, ..before.clone() } });
            }
            Err(stop) => return Err(stop),
        };
        assert_used(given, loaded, stored, next);
        *write = stored.or(*write);
        vcpu.registers = registers;
        vcpu.latch = None;
        let behind = instruction.next_ip();
        let next = match next {
            Next::At(next) => next,
            Next::Undefined => {
                vcpu.warned = true;
                behind
            }
            Next::Seamcall => match seamcall(&mut vcpu, given) {
                Some(pending) => return Ok(One::Pending { pending, vcpu }),
                None => behind,
            },
            Next::Unknown => return Err(self.unknown(&instruction).into()),
        };
        Ok(One::Done { next, effects, vcpu })
    }

    fn decode(&mut self, address: u64) -> Result<(Instruction, Effects), Stop> {
        if let Some(decoded) = self.decoded.get(&address) {
            return Ok(*decoded);
        }
        let symbols = self.memory.source().symbols();
        let Some(bytes) = self.memory.code(address) else {
            return Err(
                Unprovable::Access { what: "no code is known there", at: symbols.name(address), address }.into()
            );
        };
        let instruction = Decoder::with_ip(64, &bytes, address, DecoderOptions::NONE).decode();
        if instruction.is_invalid() {
            return Err(self.unknown(&instruction).into());
        }
        let decoded = (instruction, Effects::of(&instruction));
        self.decoded.insert(address, decoded);
        Ok(decoded)
    }

    fn unknown(&self, instruction: &Instruction) -> Unprovable {
        let address = instruction.ip();
        let at = self.memory.source().symbols().name(address);
        let mut bytes = self.memory.code(address).unwrap_or_default();
        bytes.truncate(instruction.len().max(1));
        let instruction = format!("{:?} ({})", instruction.code(), hex::encode(bytes));
        Unprovable::Instruction { instruction, at, address }
    }

    fn endless(&mut self, rip: u64, waiting: &BTreeSet<u64>) -> Stop {
        let at = self.memory.source().symbols().name(rip);
        if self.facts.waits_for(waiting) {
            return Stop::Restart(format!("{at} waits for a word that nobody else touched"));
        }
        Unprovable::Access { what: "a loop without a shared access", at, address: rip }.into()
    }
}

/// How one instruction came out.
enum One {
    Done { next: u64, effects: Effects, vcpu: Vcpu },
    Pending { pending: Pending, vcpu: Vcpu },
}

/// The result of an operation is used by the instruction that asked for it; if not, this program is wrong.
fn assert_used(given: Option<Input>, loaded: Option<u64>, stored: Option<Write>, next: Next) {
    let used = match given {
        Some(Input::Value(_)) => loaded.is_some(),
        Some(Input::Go) => stored.is_some() || next == Next::Seamcall,
        Some(Input::Reply(_)) => next == Next::Seamcall,
        Some(Input::Begin) | None => true,
    };
    assert!(used, "{given:?} was not used");
}

/// Begins or ends a SEAMCALL; none when it has come back.
fn seamcall(vcpu: &mut Vcpu, given: Option<Input>) -> Option<Pending> {
    let registers = &mut vcpu.registers;
    match given {
        Some(Input::Go) if !vcpu.inside => {
            vcpu.inside = true;
            Some(Pending::Leave)
        }
        Some(Input::Reply(reply)) if vcpu.inside => {
            vcpu.inside = false;
            registers.set_flags(flag::ARITHMETIC, if reply.rax.is_none() { flag::CF } else { 0 });
            if let Some(rax) = reply.rax {
                registers.gpr[gpr::RAX] = rax;
            }
            if let Some(r8) = reply.r8 {
                registers.gpr[gpr::R8] = r8;
            }
            None
        }
        _ if vcpu.inside => Some(Pending::Leave),
        _ => Some(Pending::Enter { rax: registers.gpr[gpr::RAX], rdx: registers.gpr[gpr::RDX] }),
    }
}
