//! What runs in a trust domain.

use crate::call::{self, RAX, RBX, RCX, RDI, RDX, RSI, Registers, Vectors};
use crate::cpu;
use crate::firmware::TEST_PAGES;
use crate::traps::{self, Frame};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Subfunctions of TDG.VP.VMCALL, between this program and itself.
pub mod ask {
    pub const REPORT: u64 = 0x1000;
    pub const REGISTERS: u64 = 0x1001;
    pub const BLOCK: u64 = 0x1002;
    pub const REMOVE: u64 = 0x1003;
    pub const SHARE_ANOTHER: u64 = 0x1004;
    pub const SHARE_FOR_READING: u64 = 0x1005;
    pub const NMI: u64 = 0x1006;
    pub const SPIN: u64 = 0x1007;
    pub const NOTHING: u64 = 0x1008;
    pub const ADD: u64 = 0x1009;
    pub const TRAP: u64 = 0x100A;
}

/// Linear address of the shared page.
const SHARED: u64 = 0x4000_0000;
/// Registers that pass: all but RAX, RCX, RSP and RBP.
const MASK: u64 = 0xFFCC;

/// In the copy that is a TD's memory.
pub static IN_TD: AtomicBool = AtomicBool::new(false);
/// Set by the VMM before it makes the copy: the TD only works.
pub static SOAKS: AtomicBool = AtomicBool::new(false);

static COUNTS: [AtomicU64; 32] = [const { AtomicU64::new(0) }; 32];
/// Of the last #VE: reason, qualification, length, guest-physical address.
static LAST_VE: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// Length of the instruction that raises #UD or #GP next, bytes.
static SKIPPED: AtomicU64 = AtomicU64::new(0);

/// TDG.VP.VMCALL with R11 to R13; R11 afterwards.
fn vmcall(function: u64, r12: u64, r13: u64) -> u64 {
    let mut registers = [0; 16];
    (registers[RCX], registers[11], registers[12], registers[13]) = (0xFC00, function, r12, r13);
    call::from_td(&mut registers);
    if registers[RAX] == 0 && registers[10] == 0 { registers[11] } else { u64::MAX }
}

fn report(id: u64, value: u64) {
    vmcall(ask::REPORT, id, value);
}

fn count(vector: usize) -> u64 {
    COUNTS[vector].load(Relaxed)
}

pub fn trap(frame: &mut Frame) {
    COUNTS[frame.vector as usize & 31].fetch_add(1, Relaxed);
    match frame.vector {
        20 => {
            let mut registers = [0; 16];
            registers[RAX] = 3; // TDG.VP.VEINFO.GET
            call::from_td(&mut registers);
            let (reason, length) = (registers[RCX], registers[10] & 0xFFFF_FFFF);
            let told = [reason, registers[RDX], length, registers[9]];
            LAST_VE.iter().zip(told).for_each(|(word, value)| word.store(value, Relaxed));
            // Of an access to memory the length is not known: `touch` has the only instruction that makes one.
            frame.rip += if reason == 48 { 3 } else { length };
            if reason == 31 {
                (frame.rax, frame.rdx) = (0, 0);
            }
        }
        2 => {}
        6 | 13 => frame.rip += SKIPPED.load(Relaxed),
        _ => {
            vmcall(ask::TRAP, frame.vector, frame.rip);
        }
    }
}

/// Reads memory by an instruction of 3 bytes.
fn touch(at: u64) -> u64 {
    let value;
    // SAFETY: reads a word; the handler of #VE skips it.
    unsafe { asm!(".byte 0x48, 0x8b, 0x01", in("rcx") at, out("rax") value, options(nostack)) };
    value
}

pub fn main(gpaw: u64, index: u64) -> ! {
    IN_TD.store(true, Relaxed);
    traps::load();
    // SAFETY: this processor alone runs here, and nothing has used the entry.
    unsafe { crate::boot::page_directory[512] = 1 << 47 | 0x87 };
    if SOAKS.load(Relaxed) {
        soak();
    }
    report(1, gpaw << 32 | index);
    control_registers();
    exits();
    calls();
    registers();
    memory();
    vmcall(ask::NMI, 0, 0);
    report(50, count(2));
    spin();
    report(52, (0..32).filter(|vector| ![2, 6, 13, 20].contains(vector)).map(count).sum());
    costs();
    // A fault without handlers ends the vCPU.
    // SAFETY: the end.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) &[0_u64; 2], options(noreturn)) };
}

fn control_registers() {
    let cr4 = cpu::read_cr4();
    report(2, cr4);
    cpu::write_cr4(cr4 | 1 << 13);
    report(3, cpu::read_cr4());
    cpu::write_cr4(cr4);
    report(4, cpu::rdmsr(cpu::EFER));
    cpu::wrmsr(cpu::KERNEL_GS_BASE, 0x1234_5678_9000);
    cpu::wrmsr(cpu::LSTAR, 0x1111);
    report(5, cpu::rdmsr(cpu::KERNEL_GS_BASE));
    cpu::write_cr2(0xCCCC);
    cpu::write_dr0(0xDDDD);
    vmcall(ask::NOTHING, 0, 0);
    report(6, cpu::read_cr2() << 16 | cpu::read_dr0());
}

/// Executes what raises #VE, and reports it: reason, length, qualification.
macro_rules! ve {
    ($id:expr, $($code:tt)*) => {{
        // SAFETY: the handler of #VE skips the instruction and keeps registers.
        unsafe { asm!($($code)*) };
        let [reason, qualification, length, _] = LAST_VE.each_ref().map(|word| word.swap(0, Relaxed));
        report($id, reason | length << 8 | qualification << 16);
    }};
}

fn exits() {
    let ebx: u32;
    // SAFETY: CPUID, which keeps RBX here.
    unsafe {
        asm!("push rbx", "cpuid", "mov {0:e}, ebx", "pop rbx", out(reg) ebx, inout("eax") 0x21 => _, inout("ecx") 0 => _, out("edx") _)
    };
    report(10, u64::from(ebx) | count(20) << 32);
    ve!(11, "push rbx", "cpuid", "pop rbx", inout("eax") 0x4000_0000 => _, inout("ecx") 0 => _, out("edx") _);
    ve!(12, "hlt");
    ve!(13, "out 0x80, al", in("al") 0_u8);
    ve!(14, "in al, dx", in("dx") 0x60_u16, out("al") _);
    ve!(15, "rdmsr", in("ecx") 0x1B, out("eax") _, out("edx") _);
    ve!(16, "wrmsr", in("ecx") 0x1A0, in("eax") 5, in("edx") 0);
    ve!(17, "wbinvd");
    ve!(18, "monitor", in("rax") TEST_PAGES, in("ecx") 0, in("edx") 0);
    ve!(19, "mwait", in("eax") 0, in("ecx") 0);
    report(20, count(20));
    SKIPPED.store(2, Relaxed);
    // SAFETY: the handlers skip the instruction, here and below.
    unsafe { asm!("rdpmc", in("ecx") 0, out("eax") _, out("edx") _) };
    // SAFETY: as above.
    unsafe { asm!("ud2") };
    SKIPPED.store(3, Relaxed);
    // SAFETY: as above.
    unsafe { asm!("xsetbv", in("ecx") 0, in("eax") 0x207, in("edx") 0) };
    // SAFETY: as above.
    unsafe { asm!("vmmcall") };
    SKIPPED.store(4, Relaxed);
    // SAFETY: as above.
    unsafe { asm!(".byte 0x66, 0x0f, 0x01, 0xcf") }; // SEAMCALL
    report(21, count(13));
    report(22, count(6));
    report(23, count(20));
}

fn calls() {
    let answer = |leaf| {
        let mut registers: Registers = [0; 16];
        registers[RAX] = leaf;
        call::from_td(&mut registers);
        registers
    };
    let info = answer(1);
    report(30, info[RAX] | info[RCX] | info[9] << 8);
    report(31, info[8]);
    report(32, answer(99)[RAX] >> 32);
    report(33, answer(3)[RAX] >> 32);
}

/// What the VMM expects in a register.
pub fn pattern(number: usize) -> u64 {
    0x0101_0101_0101_0101 * number as u64
}

fn registers() {
    let mut registers: Registers = core::array::from_fn(pattern);
    let mut vectors: Vectors = core::array::from_fn(|i| 0xABCD_0000_0000_0000 + i as u64);
    let before = vectors;
    (registers[RAX], registers[RCX], registers[10], registers[11]) = (0, MASK, 0, ask::REGISTERS);
    call::from_td_with(&mut registers, &mut vectors);
    let passed = [RDX, RBX, RSI, RDI, 8, 9, 10, 11, 12, 13, 14, 15];
    let wrong = passed.into_iter().filter(|number| registers[*number] != !pattern(*number)).count();
    let changed = vectors.iter().zip(before).filter(|(now, before)| **now != *before).count();
    let wrong = wrong + usize::from(registers[call::RBP] != pattern(call::RBP));
    report(35, wrong as u64 | (changed as u64) << 8 | registers[RAX] << 16);
}

fn memory() {
    report(40, touch(TEST_PAGES));
    vmcall(ask::BLOCK, TEST_PAGES, 0);
    report(41, touch(TEST_PAGES));
    vmcall(ask::REMOVE, TEST_PAGES + 0x1000, 0);
    touch(TEST_PAGES + 0x1000);
    let [reason, _, _, gpa] = LAST_VE.each_ref().map(|word| word.swap(0, Relaxed));
    report(42, reason | gpa << 8);
    report(43, touch(SHARED));
    vmcall(ask::SHARE_ANOTHER, 0, 0);
    report(44, touch(SHARED));
    vmcall(ask::SHARE_FOR_READING, 0, 0);
    let before = touch(SHARED);
    cpu::write(SHARED, before + 1);
    report(45, touch(SHARED));
}

/// Until the VMM, which is interrupted, says that it is enough: vector registers stay.
fn spin() {
    vmcall(ask::SPIN, 0, 0);
    let vectors: Vectors = core::array::from_fn(|i| 0x5050_0000_0000_0000 + i as u64);
    let mut after: Vectors = [0; 64];
    // SAFETY: reads the one array and writes the other; all vector registers are among those that a call may change.
    unsafe {
        asm!(
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "vmovdqu ymm\\n, [rsi + 32 * \\n]",
            ".endr",
            "2: cmp qword ptr [rax + 16], 0",
            "je 2b",
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "vmovdqu [rdi + 32 * \\n], ymm\\n",
            ".endr",
            in("rax") SHARED, in("rsi") &vectors, in("rdi") &mut after, clobber_abi("C"),
        );
    }
    report(51, vectors.iter().zip(after).filter(|(before, after)| **before != *after).count() as u64);
}

/// What a call costs, in ticks of the counter: the least mean of many rounds.
fn costs() {
    let least = |calls: u64, work: &dyn Fn()| {
        let round = |_| {
            let begin = cpu::rdtsc();
            (0..calls).for_each(|_| work());
            (cpu::rdtsc() - begin) / calls
        };
        (0..40).map(round).min().unwrap_or(0)
    };
    let to_the_vmm = || {
        vmcall(ask::NOTHING, 0, 0);
    };
    report(60, least(50, &to_the_vmm));
    let in_place = || {
        let mut registers: Registers = [0; 16];
        registers[RAX] = 99;
        call::from_td(&mut registers);
    };
    report(61, least(500, &in_place));
}

/// Works for ever, and notes in the shared page how often, and what went wrong: words 4 to 6.
fn soak() -> ! {
    let note = |word: u64, value: u64| cpu::write(SHARED + word * 8, value);
    let (mut round, mut wrong, mut answers) = (0_u64, 0_u64, 0_u64);
    loop {
        let mut registers: Registers = core::array::from_fn(|i| pattern(i) ^ round);
        (registers[RAX], registers[RCX], registers[10], registers[11]) = (0, 0xFC00, 0, ask::ADD);
        (registers[12], registers[13]) = (round, 7);
        let mut vectors: Vectors = core::array::from_fn(|i| round << 8 ^ i as u64);
        let (before, kept) = (vectors, registers);
        call::from_td_with(&mut registers, &mut vectors);
        answers += u64::from(registers[11] != round + 7);
        let other = [RDX, RBX, 5, RSI, RDI, 8, 9];
        wrong += u64::from(vectors != before) + u64::from(other.iter().any(|i| registers[*i] != kept[*i]));
        if round % 7 == 0 {
            // SAFETY: as above.
            unsafe { asm!("out 0x80, al", in("al") 0_u8) };
            answers += u64::from(LAST_VE[0].swap(0, Relaxed) != 30);
        }
        wrong += u64::from(touch(TEST_PAGES) != 0x7E57_0000);
        work(1000 + (round & 1023));
        round += 1;
        [round, wrong, answers].into_iter().zip(4..).for_each(|(value, word)| note(word, value));
    }
}

/// Arithmetic, to be interrupted in.
fn work(steps: u64) {
    let mut hash = 0xCBF2_9CE4_8422_2325_u64;
    for step in 0..steps {
        hash = core::hint::black_box((hash ^ step).wrapping_mul(0x100_0000_01B3));
    }
}
