//! seam-emu as the firmware, in the state in which the machine's was when it was stopped.
//!
//! seam-emu is deterministic, and few of its states are reached. So each call is made once for each state in which it is made, and
//! then remembered by the hash of seam-emu's own saved bytes.
//!
//! A call's work is done when it ends, and a call that the search makes fail does none. At its begin it is only asked whether
//! another LP is in its way: all calls that are under way are made to last, so that they hold their locks, and then this one is
//! made. If seam-emu calls the answer contended, the call ends with that answer.

use super::interface::{Failure, Firmware, Operands, Reply};
use crate::Packer;
use crate::call::Call;
use crate::error::Unprovable;
use seam_emu::abi::{Leaf, Status};
use seam_emu::{BadAddress, Caller, Completion, Config, Durations, GuestMemory, Outcome, Regs, Reply as Step};
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use xxhash_rust::xxh3::xxh3_64;

/// Most CPUs.
const CPUS: usize = 8;
/// Time that a call takes while it is asked whom it is in the way of.
const LASTING_NS: u64 = 1 << 50;
/// Fields of the version, by their parts (Linux's `tdx_global_metadata.c`).
const MINOR_VERSION: u64 = 0x0800_0001_0000_0003;
/// `SYS_READY` of `seam_emu::Firmware::module_state`.
const SYS_READY: u64 = 3;

/// Physical memory of the machine, which the firmware may read.
pub trait PhysicalMemory: Send + Sync + fmt::Debug {
    /// Memory from an address to the end of its range.
    fn physical(&self, address: u64) -> Option<&[u8]>;
}

/// seam-emu on the memory of a machine.
#[derive(Debug)]
pub struct Emulated {
    /// With calls that take no time, and with calls that last.
    configs: [Config; 2],
    memory: Arc<dyn PhysicalMemory>,
    start: EmulatedState,
    known: RwLock<Known>,
}

/// What was asked so far.
#[derive(Debug, Default)]
struct Known {
    /// Saved states, by their hashes.
    states: HashMap<u64, Arc<[u8]>>,
    /// Calls and statuses, by theirs.
    calls: HashMap<u32, (Call, Operands)>,
    statuses: HashMap<u32, u64>,
    begins: HashMap<(EmulatedState, usize, Operands), Begun>,
    ends: HashMap<(u64, usize, Operands), (u64, Reply)>,
    modules: HashMap<u64, Module>,
}

/// The module that answers in a state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Module {
    /// Its version; none where it does not say.
    version: [Option<u64>; 3],
    /// Whether it serves trust domains.
    is_ready: bool,
}

/// What comes of the begin of a call.
#[derive(Clone, Copy, Debug)]
struct Begun {
    accepted: bool,
    inside: u32,
    busy: u32,
}

/// The state of [`Emulated`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EmulatedState {
    /// Hash of seam-emu's state, in which no call is under way.
    base: u64,
    /// Hash of the call that is under way on each CPU and of its operands; 0 if none is.
    inside: [u32; CPUS],
    /// Hash of the status with which it will end because another was in its way; [`WORKS`] if none was, [`REFUSED`] for
    /// VMfailInvalid.
    busy: [u32; CPUS],
}

const WORKS: u32 = 0;
const REFUSED: u32 = 1;

impl Emulated {
    /// From the firmware's configuration and saved state.
    pub fn new(config: &Config, saved: &[u8], memory: Arc<dyn PhysicalMemory>) -> Result<Self, Unprovable> {
        let with = |default_ns| {
            let durations = Durations { default_ns, ..Durations::default() };
            Config { durations, faults: Vec::new(), ..config.clone() }
        };
        let configs = [with(0), with(LASTING_NS)];
        let firmware = seam_emu::Firmware::restore(configs[0].clone(), saved);
        let firmware = firmware.map_err(|error| Unprovable::Machine(format!("its firmware: {error}")))?;
        let mut known = Known::default();
        let base = known.state(&firmware);
        let start = EmulatedState { base, inside: [0; CPUS], busy: [WORKS; CPUS] };
        Ok(Self { configs, memory, start, known: RwLock::new(known) })
    }

    fn known<T>(&self, look: impl FnOnce(&Known) -> T) -> T {
        look(&self.known.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn learn<T>(&self, note: impl FnOnce(&mut Known) -> T) -> T {
        note(&mut self.known.write().unwrap_or_else(PoisonError::into_inner))
    }

    /// seam-emu in this state, with calls that last or not.
    fn restored(&self, base: u64, lasting: bool) -> seam_emu::Firmware {
        let bytes = self.known(|known| Arc::clone(&known.states[&base]));
        let config = self.configs[usize::from(lasting)].clone();
        seam_emu::Firmware::restore(config, &bytes).expect("it was saved with this configuration")
    }

    /// One call from its begin to its end, which takes no time.
    fn whole(&self, base: u64, cpu: usize, operands: Operands) -> Result<(seam_emu::Firmware, Reply), Unprovable> {
        let mut firmware = self.restored(base, false);
        let (mut regs, mut memory) = (operands.regs(), Window::new(&*self.memory));
        match firmware.seamcall(caller(cpu), &mut regs, &mut memory, 0) {
            Step::Done(completion) => {
                let reply = reply(operands, regs, completion)?;
                memory.check()?;
                Ok((firmware, reply))
            }
            other => Err(Unprovable::Machine(format!("its firmware: a call that takes no time ends with {other:?}"))),
        }
    }

    /// The answer to a call that another is in the way of; [`WORKS`] if nobody is.
    fn contended(&self, state: &EmulatedState, cpu: usize, operands: Operands) -> u32 {
        if state.inside == [0; CPUS] {
            return WORKS;
        }
        let mut firmware = self.restored(state.base, true);
        let mut memory = Window::new(&*self.memory);
        for (other, inside) in state.inside.iter().enumerate() {
            if *inside != 0 && state.busy[other] == WORKS {
                let (_, operands) = self.known(|known| known.calls[inside]);
                let _ = firmware.seamcall(caller(other), &mut operands.regs(), &mut memory, 0);
            }
        }
        let mut regs = operands.regs();
        let mut step = firmware.seamcall(caller(cpu), &mut regs, &mut memory, 0);
        if let Step::Wait { until_ns } = step {
            step = firmware.seamcall(caller(cpu), &mut regs, &mut memory, until_ns);
        }
        match step {
            Step::Done(Completion { contended: true, outcome: Outcome::Return, .. }) => {
                self.learn(|known| known.status(regs.rax))
            }
            Step::Done(Completion { contended: true, .. }) => REFUSED,
            _ => WORKS,
        }
    }

    fn begin(
        &self,
        state: &EmulatedState,
        cpu: usize,
        (call, operands): (Call, Operands),
    ) -> Result<Begun, Unprovable> {
        let key = (*state, cpu, operands);
        if let Some(answer) = self.known(|known| known.begins.get(&key).copied()) {
            return Ok(answer);
        }
        let busy = self.contended(state, cpu, operands);
        let accepted = busy == WORKS && self.whole(state.base, cpu, operands)?.1.is_success();
        Ok(self.learn(|known| {
            let inside = known.call(call, operands);
            *known.begins.entry(key).or_insert(Begun { accepted, inside, busy })
        }))
    }

    fn end(&self, base: u64, cpu: usize, operands: Operands) -> Result<(u64, Reply), Unprovable> {
        let key = (base, cpu, operands);
        if let Some(answer) = self.known(|known| known.ends.get(&key).copied()) {
            return Ok(answer);
        }
        let (firmware, reply) = self.whole(base, cpu, operands)?;
        Ok(self.learn(|known| {
            let next = known.state(&firmware);
            *known.ends.entry(key).or_insert((next, reply))
        }))
    }

    fn module(&self, base: u64) -> Module {
        if let Some(module) = self.known(|known| known.modules.get(&base).copied()) {
            return module;
        }
        let read = |part: u8| {
            let rdx = MINOR_VERSION + u64::from(part);
            let operands = Operands { rax: Leaf::SysRd.number(), rdx, ..Operands::default() };
            let (_, reply) = self.whole(base, 0, operands).ok()?;
            if reply.is_success() { reply.r8 } else { None }
        };
        let is_ready = self.restored(base, false).module_state() == SYS_READY;
        let module = Module { version: [0, 1, 2].map(read), is_ready };
        self.learn(|known| known.modules.insert(base, module));
        module
    }
}

impl Known {
    fn call(&mut self, call: Call, operands: Operands) -> u32 {
        let Operands { rax, rcx, rdx, r8 } = operands;
        let bytes: Vec<u8> = [rax, rcx, rdx, r8].into_iter().flat_map(u64::to_le_bytes).collect();
        let hash = short(&bytes);
        assert_eq!(*self.calls.entry(hash).or_insert((call, operands)), (call, operands), "two calls have one hash");
        hash
    }

    fn status(&mut self, status: u64) -> u32 {
        let hash = short(&status.to_le_bytes());
        assert_eq!(*self.statuses.entry(hash).or_insert(status), status, "two statuses have one hash");
        hash
    }

    fn state(&mut self, firmware: &seam_emu::Firmware) -> u64 {
        let bytes = firmware.save();
        let hash = xxh3_64(&bytes);
        let before = self.states.entry(hash).or_insert_with(|| bytes.clone().into());
        assert!(**before == *bytes, "two states of the firmware have one hash of 64 bits");
        hash
    }
}

/// A hash that is neither [`WORKS`] nor [`REFUSED`].
fn short(bytes: &[u8]) -> u32 {
    xxh3_64(bytes) as u32 | 2
}

fn caller(lp: usize) -> Caller {
    Caller { lp, in_vmx_root: true, cpl: 0, long_mode: true }
}

/// What the CPU gets. Only RAX, RDX and R8 are modelled as changed.
fn reply(operands: Operands, output: Regs, completion: Completion) -> Result<Reply, Unprovable> {
    let trouble = |what: String| Err(Unprovable::Machine(format!("its firmware: {what}")));
    match completion.outcome {
        Outcome::VmFailInvalid => return Ok(Reply::INVALID),
        Outcome::Return => {}
        other => return trouble(format!("a SEAMCALL raises {other:?}")),
    }
    if completion.unmodelled {
        return trouble(format!("it does not model the leaf {:#x}", operands.rax));
    }
    let input = operands.regs();
    let same = Regs { rax: input.rax, rdx: input.rdx, r8: input.r8, ..output };
    if same != input {
        return trouble(format!(
            "the leaf {:#x} changes more registers than RAX, RDX and R8: {output:x?}",
            operands.rax
        ));
    }
    let rdx = (input.rdx != output.rdx).then_some(output.rdx);
    let is_read = operands.rax == Leaf::SysRd.number() && output.rax == Status::SUCCESS.0;
    let r8 = (is_read || input.r8 != output.r8).then_some(output.r8);
    Ok(Reply { rax: Some(output.rax), rdx, r8 })
}

/// Memory of the machine for one call. A write ends the proof: the search would not know of it.
#[derive(Debug)]
struct Window<'a> {
    memory: &'a dyn PhysicalMemory,
    written: Option<u64>,
}

impl<'a> Window<'a> {
    fn new(memory: &'a dyn PhysicalMemory) -> Self {
        Self { memory, written: None }
    }

    fn check(&self) -> Result<(), Unprovable> {
        match self.written {
            Some(address) => Err(Unprovable::Machine(format!("its firmware writes memory at {address:#x}"))),
            None => Ok(()),
        }
    }
}

impl GuestMemory for Window<'_> {
    fn read(&self, pa: u64, buf: &mut [u8]) -> Result<(), BadAddress> {
        let mut done = 0;
        while done < buf.len() {
            let at = pa + done as u64;
            let bytes = self.memory.physical(at).filter(|bytes| !bytes.is_empty()).ok_or(BadAddress(at))?;
            let length = bytes.len().min(buf.len() - done);
            buf[done..done + length].copy_from_slice(&bytes[..length]);
            done += length;
        }
        Ok(())
    }

    fn write(&mut self, pa: u64, _: &[u8]) -> Result<(), BadAddress> {
        self.written.get_or_insert(pa);
        Ok(())
    }
}

impl Firmware for Emulated {
    type State = EmulatedState;

    fn name(&self) -> &'static str {
        "seam-emu"
    }

    fn start(&self, cpus: usize) -> EmulatedState {
        assert!(cpus <= CPUS, "a caller's bound");
        self.start
    }

    fn enter(&self, state: &mut EmulatedState, cpu: usize, call: Call, operands: Operands) -> Result<bool, Unprovable> {
        let Begun { accepted, inside, busy } = self.begin(state, cpu, (call, operands))?;
        (state.inside[cpu], state.busy[cpu]) = (inside, busy);
        Ok(accepted)
    }

    fn leave(&self, state: &mut EmulatedState, cpu: usize, failure: Option<Failure>) -> Result<Reply, Unprovable> {
        let inside = std::mem::take(&mut state.inside[cpu]);
        let operands = self.known(|known| known.calls.get(&inside).map(|(_, operands)| *operands));
        let operands = operands.expect("only a CPU that is inside leaves");
        let busy = std::mem::replace(&mut state.busy[cpu], WORKS);
        let status = |status: Status| Reply::status(status.0);
        Ok(match failure {
            Some(Failure::VmfailInvalid) => Reply::INVALID,
            Some(Failure::NoEntropy) => status(Status::RND_NO_ENTROPY),
            Some(Failure::Status) => status(Status::SYS_STATE_INCORRECT),
            None if busy == REFUSED => Reply::INVALID,
            None if busy != WORKS => Reply::status(self.known(|known| known.statuses[&busy])),
            None => {
                let (base, reply) = self.end(state.base, cpu, operands)?;
                state.base = base;
                reply
            }
        })
    }

    fn call(&self, state: &EmulatedState, cpu: usize) -> Option<Call> {
        self.known(|known| known.calls.get(&state.inside[cpu]).map(|(call, _)| *call))
    }

    fn version(&self, state: &EmulatedState, part: u8) -> Option<u64> {
        self.module(state.base).version[usize::from(part)]
    }

    fn is_updated(&self, state: &EmulatedState) -> bool {
        let now = self.module(state.base);
        now.is_ready && now.version != self.module(self.start.base).version
    }

    fn rank(&self, _: &EmulatedState, _: usize) -> u64 {
        unreachable!("symmetry goes with the small model")
    }

    fn swap(&self, _: &mut EmulatedState, _: usize, _: usize) {
        unreachable!("symmetry goes with the small model")
    }

    fn write(&self, state: &EmulatedState, bytes: &mut Packer) {
        bytes.all(&state.base.to_le_bytes());
        for hash in state.inside.iter().chain(&state.busy) {
            bytes.all(&hash.to_le_bytes());
        }
    }

    fn assumptions(&self) -> Vec<String> {
        vec![
            "the firmware is seam-emu, in the state and with the memory of the machine: it reads the parameters and the image that were uploaded".into(),
            "a call does its work at its end, and is refused at its begin if seam-emu says that a call which is under way on another LP is in its way".into(),
            "a call that is made to fail has no effect".into(),
            "an error status that is injected is one value: the code branches on success, VMfailInvalid and RND_NO_ENTROPY only, and passes the rest to the log".into(),
        ]
    }
}
