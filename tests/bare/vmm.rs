//! The VMM: runs trust domains, and compares all that it had before each entry with what it has behind it.

use crate::call::{self, RAX, RBP, RBX, RCX, RDI, RDX, RSI, Registers, Vectors};
use crate::cpu::{self, apic};
use crate::firmware::{SHARED, TEST_PAGES, Td};
use crate::say;
use crate::td::{ask, pattern};
use crate::traps;
use core::sync::atomic::AtomicU64;

/// The timer's vector.
pub const TIMER: u8 = 0x40;
/// Exit reasons.
const NMI: u64 = 0;
const INTERRUPT: u64 = 1;
const EPT_VIOLATION: u64 = 48;
const TDCALL: u64 = 77;

/// Interrupts and NMIs that the VMM's own handlers saw.
pub static INTERRUPTS: AtomicU64 = AtomicU64::new(0);
pub static NMIS: AtomicU64 = AtomicU64::new(0);
/// NMIs of them that came while the VMM was in SEAM root.
pub static NMIS_IN_STUB: AtomicU64 = AtomicU64::new(0);

/// What a processor counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub entries: u64,
    pub interrupts: u64,
    pub nmis: u64,
    pub violations: u64,
    /// Differences in the VMM's own state.
    pub differences: u64,
    /// FNV of what came out of each entry.
    pub digest: u64,
    /// What a TD told of the costs of its calls, in ticks of the counter: one to its VMM and back, and one that is answered at
    /// once.
    pub costs: [u64; 2],
}

/// The first of the reports that tell a cost.
const FIRST_COST: u64 = 60;

/// The VMM's state that no entry may change, beside the registers that pass.
#[derive(PartialEq)]
struct State {
    control: [u64; 4],
    debug: [u64; 2],
    msrs: [u64; 5],
    idt: u64,
}

impl State {
    fn read() -> Self {
        Self {
            control: [cpu::read_cr0(), cpu::read_cr2(), cpu::read_cr3(), cpu::read_cr4()],
            debug: [cpu::read_dr0(), cpu::read_dr3()],
            msrs: [cpu::EFER, cpu::FS_BASE, cpu::GS_BASE, cpu::KERNEL_GS_BASE, cpu::LSTAR].map(cpu::rdmsr),
            idt: traps::base(),
        }
    }
}

/// Sets what [`State`] reads to values of this processor.
pub fn mark(cpu: u64) {
    let value = 0x1000_0000 + (cpu << 16);
    cpu::write_dr0(value | 1);
    cpu::write_dr3(value | 2);
    let msrs = [cpu::FS_BASE, cpu::GS_BASE, cpu::KERNEL_GS_BASE, cpu::LSTAR];
    msrs.into_iter().zip(3..).for_each(|(msr, n)| cpu::wrmsr(msr, value | n));
}

/// TDH.VP.ENTER with these registers, compared.
fn enter(td: &Td, registers: &mut Registers, counts: &mut Counts) {
    let entries = counts.entries;
    (registers[RAX], registers[RCX]) = (0, td.tdvpr);
    registers[RBP] = 0xB9B9 + entries;
    cpu::write_cr2(0xC0C0 + entries);
    let mut vectors: Vectors = core::array::from_fn(|i| entries << 16 ^ i as u64);
    let (vectors_before, before) = (vectors, State::read());
    let entered = call::to_module_with(registers, &mut vectors);
    let same = entered && vectors == vectors_before && State::read() == before && registers[RBP] == 0xB9B9 + entries;
    counts.differences += u64::from(!same);
    counts.entries += 1;
    for word in [RAX, RCX, RDX, 8, 9, 11, 12, 13].map(|number| registers[number]) {
        counts.digest = (counts.digest ^ word).wrapping_mul(0x100_0000_01B3);
    }
}

/// Address of a word of the shared page.
fn shared(td: &Td, word: u64) -> u64 {
    td.shared + word * 8
}

/// How a TD was left for good.
#[derive(Debug, PartialEq)]
pub enum End {
    /// Its vCPU died with this status.
    Died(u64),
    /// The time was up.
    Time,
}

/// Runs a TD until it dies, or until the counter says so.
pub fn run(td: &mut Td, until: u64) -> (End, Counts) {
    let mut all = Counts::default();
    let counts = &mut all;
    let mut registers: Registers = [0; 16];
    let mut spins = false;
    while cpu::rdtsc() < until {
        enter(td, &mut registers, counts);
        match registers[RAX] {
            INTERRUPT => {
                counts.interrupts += 1;
                if registers[9] == 0x8000_0000 | u64::from(TIMER) {
                    apic::write(apic::EOI, 0);
                } else {
                    say!("odd-interrupt {:x}", registers[9]);
                }
                if spins && counts.interrupts > 20 {
                    cpu::write(shared(td, 2), 1);
                }
            }
            NMI => {
                counts.nmis += 1;
                counts.differences += u64::from(registers[9] != 0x8000_0202);
                // SAFETY: the vector has a handler.
                unsafe { core::arch::asm!("int 2") };
                if spins && counts.nmis > 20 {
                    cpu::write(shared(td, 2), 1);
                }
            }
            EPT_VIOLATION => {
                counts.violations += 1;
                violation(td, &registers);
            }
            TDCALL => spins |= vmcall(td, &mut registers, counts),
            status => return (End::Died(status), all),
        }
        cpu::take_interrupts();
    }
    (End::Time, all)
}

/// Maps what the TD lacks, whichever the test took away before.
fn violation(td: &mut Td, registers: &Registers) {
    let (gpa, qualification, details) = (registers[8], registers[RCX], registers[RDX]);
    say!("violation {gpa:x} {qualification:x} {details:x}");
    match gpa {
        TEST_PAGES => td.unblock(gpa),
        SHARED => td.map_shared(td.shared, true),
        gpa => td.add_pending(gpa),
    }
}

/// Answers a TDG.VP.VMCALL. True if the TD spins from now on.
fn vmcall(td: &mut Td, registers: &mut Registers, counts: &mut Counts) -> bool {
    let function = registers[11];
    registers[10] = 0;
    match function {
        ask::REPORT if registers[12] >= FIRST_COST => {
            counts.costs[(registers[12] - FIRST_COST) as usize & 1] = registers[13];
        }
        ask::REPORT => say!("report {} {:x}", registers[12], registers[13]),
        ask::REGISTERS => {
            let passed = [RDX, RBX, RSI, RDI, 8, 9, 12, 13, 14, 15];
            let wrong = passed.into_iter().filter(|number| registers[*number] != pattern(*number)).count();
            say!("registers {wrong}");
            for number in passed.into_iter().chain([10, 11]) {
                registers[number] = !pattern(number);
            }
        }
        ask::BLOCK => td.block(registers[12]),
        ask::REMOVE => {
            td.block(registers[12]);
            td.remove(registers[12]);
        }
        ask::SHARE_ANOTHER => {
            cpu::write(td.shared, 0x0A0A);
            cpu::write(td.other, 0x0B0B);
            td.map_shared(td.other, true);
        }
        ask::SHARE_FOR_READING => td.map_shared(td.shared, false),
        ask::NMI => td.pend_nmi(),
        ask::ADD => registers[11] = registers[12] + registers[13],
        ask::TRAP => say!("trap {} {:x}", registers[12], registers[13]),
        ask::SPIN => return true,
        ask::NOTHING => {}
        other => say!("odd-call {other:x}"),
    }
    false
}
