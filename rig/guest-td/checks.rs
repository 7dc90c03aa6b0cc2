//! What a vCPU expects of the TDX module and of its VMM. Each is one bit of the word that it says in the end, so that a check that
//! was not made is not met.

use crate::traps::{self, SELF, SENT, WAKE};
use crate::{calls, cpu};

/// TDG.VP.INFO tells of 48 address bits, and the vCPU's number is below that of vCPUs.
const INFO: u64 = 1;
/// CPUID 0x21 says "IntelTDX    ", without a #VE.
const NAME: u64 = 1 << 1;
/// CPUID 0x40000000, by #VE, says "KVMKVMKVM".
const HYPERVISOR: u64 = 1 << 2;
/// RDMSR by #VE: the VMM has the APIC in x2APIC mode.
const X2APIC: u64 = 1 << 3;
/// A register of the TD's own, the PAT, keeps what is written.
const OWN_MSR: u64 = 1 << 4;
/// An interrupt that the vCPU sends itself by the module comes, and not before it may.
const SELF_IPI: u64 = 1 << 5;
/// An interrupt that it sends itself by the VMM comes.
const IPI: u64 = 1 << 6;
/// The monitor's interrupts wake it.
const WOKEN: u64 = 1 << 7;
/// The time-stamp counter only goes up.
const COUNTER: u64 = 1 << 8;
/// TSC_AUX stays the vCPU's.
const AUX: u64 = 1 << 9;
/// Pages are accepted once, and a second time is told.
const ACCEPTED: u64 = 1 << 10;
/// What only stays met while nothing contradicts it.
const LASTING: u64 = COUNTER | AUX | ACCEPTED;

const APIC_BASE: u32 = 0x1B;
const PAT: u32 = 0x277;
const SPURIOUS: u32 = 0x80F;
const ICR: u32 = 0x830;
const SELF_IPI_REGISTER: u32 = 0x83F;
const TSC_AUX: u32 = 0xC000_0103;
/// `TDX_PAGE_ALREADY_ACCEPTED`, at the level of 4 KB.
const ALREADY_ACCEPTED: u64 = 0x0000_0B0A_0000_0000;

pub struct Checks {
    met: u64,
    /// The vCPU's number, and the counter when it was last read.
    index: u64,
    counter: u64,
}

impl Checks {
    /// Switches the APIC on, and makes the checks that are made once.
    pub fn begin() -> Self {
        const ENABLED: u64 = 0x1FF;
        const X2APIC_MODE: u64 = 0b11 << 10;
        const WRITE_COMBINING_FIRST: u64 = 0x0007_0406_0007_0401;
        let info = calls::info();
        let mut checks = Self { met: LASTING, index: info.r9, counter: 0 };
        checks.note(INFO, info.rcx == 48 && info.r9 < info.r8 & 0xFFFF_FFFF);
        checks.note(NAME, cpu::cpuid(0x21) == [0, 0x6574_6E49, 0x2020_2020, 0x5844_546C]);
        checks.note(HYPERVISOR, cpu::cpuid(0x4000_0000)[1..] == [0x4B4D_564B, 0x564B_4D56, 0x4D]);
        checks.note(X2APIC, cpu::rdmsr(APIC_BASE) & X2APIC_MODE == X2APIC_MODE);
        let pat = cpu::rdmsr(PAT);
        cpu::wrmsr(PAT, WRITE_COMBINING_FIRST);
        checks.note(OWN_MSR, cpu::rdmsr(PAT) == WRITE_COMBINING_FIRST && pat == 0x0007_0406_0007_0406);
        cpu::wrmsr(PAT, pat);
        cpu::wrmsr(TSC_AUX, info.r9 + 1);
        cpu::wrmsr(SPURIOUS, ENABLED);
        checks.interrupts();
        checks
    }

    fn interrupts(&mut self) {
        cpu::wrmsr(SELF_IPI_REGISTER, SELF);
        let before = traps::count(SELF);
        cpu::take_interrupts();
        self.note(SELF_IPI, (before, traps::count(SELF)) == (0, 1));
        // The APIC id is the vCPU's number, as the monitor has it.
        cpu::wrmsr(ICR, self.index << 32 | SENT);
        while traps::count(SENT) == 0 {
            cpu::wait_for_interrupt();
        }
        self.note(IPI, traps::count(SENT) == 1);
    }

    /// Accepts a page.
    pub fn accept(&mut self, gpa: u64) {
        let statuses = [calls::accept(gpa), calls::accept(gpa)];
        self.lasts(ACCEPTED, statuses == [0, ALREADY_ACCEPTED]);
    }

    /// What is looked at in each round.
    pub fn round(&mut self) {
        let (counter, aux) = cpu::rdtscp();
        self.lasts(COUNTER, self.counter < counter);
        self.lasts(AUX, u64::from(aux) == self.index + 1);
        self.counter = counter;
    }

    /// Behind the last round.
    pub fn end(&mut self) {
        self.note(WOKEN, traps::count(WAKE) > 0);
    }

    /// The checks that were met.
    pub fn met(&self) -> u64 {
        self.met
    }

    fn note(&mut self, check: u64, is_met: bool) {
        self.met |= if is_met { check } else { 0 };
    }

    fn lasts(&mut self, check: u64, is_met: bool) {
        self.met &= if is_met { !0 } else { !check };
    }
}
