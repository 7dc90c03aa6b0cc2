//! Logs single instructions with registers and accesses, from when a vCPU enters a function until it leaves it.

use crate::decode;
use crate::registers::{self, GPR, Reg};
use rig_wire::instructions::{LOGGED_REGISTERS, Logged};
use rig_wire::plan::InstructionLog;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The log of all vCPUs.
pub(crate) struct Log {
    wanted: InstructionLog,
    state: Mutex<State>,
}

struct State {
    file: BufWriter<File>,
    lps: Vec<Lp>,
}

/// What is known of one vCPU.
#[derive(Clone, Default)]
struct Lp {
    /// RSP at the function's first instruction, which is what it is at the one that returns; none: the vCPU is not in it.
    top: Option<u64>,
    /// The instruction that returns is being executed.
    returns: bool,
    /// Registers as they are in the log.
    known: Option<[u64; LOGGED_REGISTERS]>,
}

impl Log {
    /// An empty log.
    pub(crate) fn create(wanted: InstructionLog, vcpus: usize) -> io::Result<Self> {
        let file = BufWriter::new(File::create(&wanted.file)?);
        Ok(Self { wanted, state: Mutex::new(State { file, lps: vec![Lp::default(); vcpus] }) })
    }

    /// The instruction at `pc` is translated: whether it is to be logged when it is executed.
    pub(crate) fn translates(&self, pc: u64, bytes: &[u8]) -> bool {
        let is_wanted = self.wanted.within.iter().any(|(start, end)| (*start..*end).contains(&pc));
        if is_wanted {
            self.state().write(&Logged::Code { pc, bytes: bytes.to_vec() });
        }
        is_wanted
    }

    /// The vCPU whose callback is running is about to execute the instruction at `pc`.
    pub(crate) fn instruction(&self, lp: usize, pc: u64) {
        let mut state = self.state();
        let state = &mut *state;
        let own = &mut state.lps[lp];
        if std::mem::take(&mut own.returns) {
            *own = Lp::default();
        }
        if pc == self.wanted.function.0 && own.top.is_none() {
            own.top = Some(registers::read(Reg::Rsp));
        }
        let Some(top) = own.top else { return };
        let now = logged_registers();
        let changed = |(number, value): (usize, u64)| {
            let is_known = own.known.is_some_and(|known| known[number] == value);
            (!is_known).then_some((number as u8, value))
        };
        let registers = now.into_iter().enumerate().filter_map(changed).collect();
        own.known = Some(now);
        let (start, end) = self.wanted.function;
        let is_return = |code: &[u8]| decode::leaves(code, pc, (start, end));
        own.returns = (start..end).contains(&pc)
            && registers::read(Reg::Rsp) == top
            && is_return(&crate::memory::read_code::<15>(pc));
        let returns = own.returns;
        state.write(&Logged::Instruction { lp: lp as u16, pc, registers });
        if returns {
            // The process may end without anything being written any more.
            state.file.flush().expect("the log of instructions takes what is written");
        }
    }

    /// The vCPU's instruction touched memory.
    pub(crate) fn touched(&self, lp: usize, address: u64, (store, size, value): (bool, u8, u64)) {
        let mut state = self.state();
        if state.lps[lp].top.is_some() {
            state.write(&Logged::Touched { lp: lp as u16, address, size, store, value });
        }
    }

    /// The vCPU is interrupted in front of the instruction at `from`.
    pub(crate) fn interrupted(&self, lp: usize, from: u64) {
        let mut state = self.state();
        if state.lps[lp].top.is_some() {
            state.write(&Logged::Interrupted { lp: lp as u16, from });
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A log with a hole would be taken for another machine's, so that ends the process.
    fn write(&mut self, what: &Logged) {
        what.write(&mut self.file).expect("the log of instructions takes what is written");
    }
}

/// The registers of the vCPU whose callback is running, in the order of the log.
fn logged_registers() -> [u64; LOGGED_REGISTERS] {
    std::array::from_fn(|number| match GPR.get(number) {
        Some(register) => registers::read(*register),
        None if number == rig_wire::instructions::LOGGED_RFLAGS => registers::read(Reg::Eflags),
        None => registers::read(Reg::GsBase),
    })
}
