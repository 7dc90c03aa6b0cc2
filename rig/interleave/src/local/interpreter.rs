//! Runs a CPU from one operation that others can notice to the next.

use super::decoded::Effects;
use super::facts::Facts;
use super::layout::Layout;
use super::stop::Stop;
use super::vcpu::{Input, Pending, RETURN, Vcpu, Write};
use super::window::Window;
use crate::contract::{Contract, Contracts, Effect};
use crate::error::Unprovable;
use crate::image::{Memory, Source};
use crate::isa::{self, Next, execute, flag, gpr};
use iced_x86::Instruction;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

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
    /// Where the CPUs' own memory lies.
    pub layout: Layout,
    /// What was found so far.
    pub facts: Facts,
    /// How CPUs store, and how they take locks.
    pub setting: Machine,
    decoded: HashMap<u64, (Instruction, Effects)>,
    used: BTreeMap<&'static str, Contract>,
    executed: u64,
}

/// How CPUs store, and how they take locks.
#[derive(Clone, Debug, Default)]
pub struct Machine {
    /// Each CPU has a store buffer; else a store is visible at once.
    pub store_buffers: bool,
    /// Code whose locked instructions wait until the word is zero: the function that takes locks, if its contract stands for
    /// it. Empty if it is executed as it is.
    pub acquires: Range<u64>,
}

/// Most stores in a CPU's buffer. Real ones hold 56 and more; code that fills this one ends the proof.
const MOST_STORES: usize = 16;

/// Where a private run ended.
#[derive(Clone, Debug)]
pub struct Ran {
    /// The CPU, before its next operation.
    pub vcpu: Vcpu,
    /// The store that the first operation made, and that is visible at once.
    pub write: Option<Write>,
    /// Stores that went to the CPU's buffer on the way.
    pub issued: Vec<Write>,
    /// The next operation.
    pub pending: Pending,
}

impl<S: Source> Interpreter<S> {
    /// An interpreter that has executed nothing yet.
    pub fn new(memory: Memory<S>, contracts: Contracts, layout: Layout, facts: Facts) -> Self {
        let (decoded, used) = (HashMap::new(), BTreeMap::new());
        Self { memory, contracts, layout, facts, setting: Machine::default(), decoded, used, executed: 0 }
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
        let (mut input, mut made) = (Some(input), Made::default());
        let mut waiting = BTreeSet::new();
        for steps in 0.. {
            let rip = vcpu.registers.rip;
            if rip == RETURN {
                let returned = vcpu.registers.gpr[gpr::RAX] as u32;
                return Ok(made.ran(vcpu, Pending::Done { returned }));
            }
            if steps >= LONG + WATCHED {
                return Err(self.endless(vcpu.cpu, rip, &waiting));
            }
            let watched = (steps >= LONG).then_some(&mut waiting);
            let (next, effects, after) = match self.contracts.at(rip).copied() {
                Some(Contract { effect: Effect::Starts, .. }) => {
                    return Ok(made.ran(vcpu, Pending::Start));
                }
                Some(contract) => (self.replace(&mut vcpu, contract)?, Effects::of_contract(), vcpu),
                None => match self.instruction(&vcpu, &mut input, &mut made, watched)? {
                    One::Done { next, effects, vcpu } => (next, effects, vcpu),
                    One::Pending { pending, vcpu } => return Ok(made.ran(vcpu, pending)),
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
        made: &mut Made,
        waiting: Option<&mut BTreeSet<u64>>,
    ) -> Result<One, Stop> {
        let (instruction, effects) = self.decode(before.registers.rip)?;
        self.executed += 1;
        let (mut vcpu, mut registers) = (before.clone(), before.registers.clone());
        let given = input.take();
        let mut window = Window {
            cpu: before.cpu,
            at: before.registers.rip,
            stack: self.layout.stack(before.cpu).clone(),
            own: &mut vcpu,
            facts: &mut self.facts,
            memory: &self.memory,
            offered: if let Some(Input::Value(value)) = given { Some(value) } else { before.latch },
            permitted: given == Some(Input::Go),
            buffers: self.setting.store_buffers,
            loaded: None,
            stored: None,
            issued: None,
            waiting,
        };
        let result = execute(&mut registers, &instruction, self.layout.gs_base(before.cpu), &mut window);
        let (loaded, stored, issued) = (window.loaded, window.stored, window.issued);
        let next = match result {
            Ok(next) => next,
            Err(Stop::At(pending)) => {
                let pending = self.by_contract(before.registers.rip, pending);
                let latch = if matches!(pending, Pending::Store(_)) { loaded } else { None };
                return Ok(One::Pending { pending, vcpu: Vcpu { latch, ..before.clone() } });
            }
            Err(stop) => return Err(stop),
        };
        assert_used(given, loaded, stored, next);
        made.write = stored.or(made.write);
        vcpu.registers = registers;
        vcpu.latch = None;
        self.follow_lock(&mut vcpu, stored.or(issued))?;
        if let Some(write) = issued {
            issue(&mut vcpu, made, write)?;
        }
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

    /// A locked instruction of the function that takes locks waits, if the function's contract stands for it.
    fn by_contract(&self, rip: u64, pending: Pending) -> Pending {
        match pending {
            Pending::Locked { address, size } if self.setting.acquires.contains(&rip) => {
                Pending::Acquire { address, size }
            }
            pending => pending,
        }
    }

    /// Which lock the CPU holds by the lock's contract. The argument for the contract allows one at a time.
    fn follow_lock(&self, vcpu: &mut Vcpu, stored: Option<Write>) -> Result<(), Stop> {
        let Some(Write { address, .. }) = stored else { return Ok(()) };
        let at = vcpu.registers.rip;
        if self.setting.acquires.contains(&at) {
            if vcpu.holds.is_some() {
                let at = self.memory.source().symbols().name(at);
                return Err(Unprovable::Access { what: "a lock is taken inside another", at, address }.into());
            }
            vcpu.holds = Some(address);
        } else if vcpu.holds == Some(address) {
            vcpu.holds = None;
        }
        Ok(())
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
        let instruction = isa::decode(&bytes, address);
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

    fn endless(&mut self, cpu: u8, rip: u64, waiting: &BTreeSet<u64>) -> Stop {
        let at = self.memory.source().symbols().name(rip);
        if self.facts.waits_for(waiting, self.layout.stack(cpu)) {
            return Stop::Restart(format!("{at} waits for a word that nobody else touched"));
        }
        Unprovable::Access { what: "a loop without a shared access", at, address: rip }.into()
    }
}

/// What a private run has made so far.
#[derive(Default)]
struct Made {
    write: Option<Write>,
    issued: Vec<Write>,
}

impl Made {
    fn ran(self, vcpu: Vcpu, pending: Pending) -> Ran {
        Ran { vcpu, write: self.write, issued: self.issued, pending }
    }
}

/// How one instruction came out.
enum One {
    Done { next: u64, effects: Effects, vcpu: Vcpu },
    Pending { pending: Pending, vcpu: Vcpu },
}

/// Puts a store into the CPU's buffer.
fn issue(vcpu: &mut Vcpu, made: &mut Made, write: Write) -> Result<(), Stop> {
    if vcpu.buffer.len() >= MOST_STORES {
        return Err(Unprovable::Bound { what: "stores in a CPU's buffer", limit: MOST_STORES }.into());
    }
    made.issued.push(write);
    vcpu.buffer.push(write);
    Ok(())
}

/// The result of an operation is used by the instruction that asked for it; if not, this program is wrong.
fn assert_used(given: Option<Input>, loaded: Option<u64>, stored: Option<Write>, next: Next) {
    let used = match given {
        Some(Input::Value(_)) => loaded.is_some(),
        Some(Input::Go) => stored.is_some() || next == Next::Seamcall,
        Some(Input::Reply(_)) => next == Next::Seamcall,
        Some(Input::Begin) | None => true,
        Some(Input::Flush) => false,
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
            if let Some(rdx) = reply.rdx {
                registers.gpr[gpr::RDX] = rdx;
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
