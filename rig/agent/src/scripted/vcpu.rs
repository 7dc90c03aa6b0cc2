//! Running a TD's virtual CPU.

use super::Td;
use super::calls::Leaf;
use crate::cpu;
use crate::raw::Regs;
use rig_wire::agent::{Chain, REPORT_CHAIN};
use std::sync::Arc;

/// Exit reasons that a scripted TD has. Source: Intel SDM, appendix C.
const EXTERNAL_INTERRUPT: u64 = 1;
const EPT_VIOLATION: u64 = 48;
const TDCALL: u64 = 77;
/// TDVMCALL subfunction: waits for an interrupt. Source: Guest-Host-Communication Interface (344426).
const HLT: u64 = 12;
/// TDVMCALL status for a subfunction that the VMM does not know.
const OPERAND_INVALID: u64 = 1 << 63;
/// After so many entries a virtual CPU that reports no chain counts as stuck.
const PATIENCE: u32 = 100_000;

/// What became of a virtual CPU's entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) entries: u64,
    /// Ends of a time slice.
    pub(crate) slices: u64,
    /// Waits for an interrupt.
    pub(crate) halts: u64,
    /// Pages that were missing.
    pub(crate) faults: u64,
    /// Moves to another CPU.
    pub(crate) moves: u64,
}

impl Counts {
    /// Adds another virtual CPU's.
    pub(crate) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.slices += other.slices;
        self.halts += other.halts;
        self.faults += other.faults;
        self.moves += other.moves;
    }
}

/// A virtual CPU of a finished TD.
#[derive(Debug)]
pub(crate) struct Vcpu {
    td: Arc<Td>,
    number: usize,
    /// The CPU on which it was entered last, and the one that the thread is bound to.
    on: Option<usize>,
    /// Places in the list of CPUs.
    next: usize,
    moves_after: u32,
    entries_here: u32,
    /// What goes in with the next entry: the outputs of a TDVMCALL.
    outputs: Regs,
    counts: Counts,
    chain: Chain,
}

impl Vcpu {
    /// Virtual CPU `number` of TD `td_number`, to be entered on CPU `start` of the list first.
    pub(crate) fn new(td: &Arc<Td>, td_number: u32, number: u32, start: usize, moves_after: u32) -> Self {
        let chain = Chain { td: td_number, vcpu: number, rounds: 0, words: [0; 4] };
        Self {
            td: Arc::clone(td),
            number: number as usize,
            on: None,
            next: start,
            moves_after,
            entries_here: 0,
            outputs: Regs::default(),
            counts: Counts::default(),
            chain,
        }
    }

    /// Its TD.
    pub(crate) fn td(&self) -> &Arc<Td> {
        &self.td
    }

    /// The chain that it reported last.
    pub(crate) fn chain(&self) -> &Chain {
        &self.chain
    }

    /// Counts of the results of its entries.
    pub(crate) fn counts(&self) -> Counts {
        self.counts
    }

    /// Enters once and serves the exit. The calling thread is bound to a CPU.
    pub(crate) fn run(&mut self) -> Result<(), String> {
        let cpu = self.place()?;
        let operands = Regs { rcx: self.td.tdvpr(self.number), ..std::mem::take(&mut self.outputs) };
        let (reason, regs) = self.td.module.status(cpu, Leaf::VpEnter, 0, operands)?;
        self.counts.entries += 1;
        self.entries_here += 1;
        match reason {
            EXTERNAL_INTERRUPT => self.counts.slices += 1,
            EPT_VIOLATION => {
                self.counts.faults += 1;
                self.td.augment(cpu, regs.r8)?;
            }
            TDCALL => self.serve(&regs),
            other => return Err(format!("VP.ENTER on CPU {cpu}: {other:#018x}")),
        }
        Ok(())
    }

    /// Runs until it has reported its chain once more. Any thread may do so.
    pub(crate) fn run_a_round(&mut self) -> Result<(), String> {
        if let Some(cpu) = self.on {
            cpu::bind(cpu)?;
        }
        let before = self.chain.rounds;
        for _ in 0..PATIENCE {
            self.run()?;
            if self.chain.rounds > before {
                return Ok(());
            }
        }
        Err(format!("virtual CPU {} of TD {} reported no chain in {PATIENCE} entries", self.chain.vcpu, self.chain.td))
    }

    /// Takes the virtual CPU off its CPU, so that it can go to another or its TD can end. The calling thread is bound to that CPU.
    pub(crate) fn flush(&mut self) -> Result<(), String> {
        let Some(cpu) = self.on.take() else { return Ok(()) };
        cpu::bind(cpu)?;
        let tdvpr = self.td.tdvpr(self.number);
        self.td.module.call(cpu, Leaf::VpFlush, Regs { rcx: tdvpr, ..Regs::default() }).map(drop)
    }

    /// A TDVMCALL: the operands are R10 to R15.
    fn serve(&mut self, regs: &Regs) {
        let mut status = 0;
        match (regs.r10, regs.r11) {
            // The wait is over at once: an interrupt may come at any time.
            (0, HLT) => self.counts.halts += 1,
            (0, REPORT_CHAIN) => {
                self.chain.rounds += 1;
                self.chain.words = [regs.r12, regs.r13, regs.r14, regs.r15];
            }
            _ => status = OPERAND_INVALID,
        }
        self.outputs = Regs { r10: status, ..Regs::default() };
    }

    /// The CPU to enter on: the one it is on, or the next after some entries.
    fn place(&mut self) -> Result<usize, String> {
        let stays = self.moves_after == 0 || self.entries_here < self.moves_after;
        if let Some(cpu) = self.on.filter(|_| stays) {
            return Ok(cpu);
        }
        if self.on.is_some() {
            self.flush()?;
            self.counts.moves += 1;
        }
        let cpu = self.td.cpus[self.next % self.td.cpus.len()];
        self.next += 1;
        cpu::bind(cpu)?;
        (self.on, self.entries_here) = (Some(cpu), 0);
        Ok(cpu)
    }
}
