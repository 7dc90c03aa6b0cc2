//! TDCALL. Sources: Intel TDX Module ABI for leaves, Intel Guest-Host-Communication Interface (344426) for what a TD asks of its
//! VMM.

use core::arch::asm;

/// Bit of a guest-physical address that makes it shared.
pub const SHARED: u64 = 1 << 47;
/// Why the TD gives up, beyond numbers of exceptions.
pub const PANIC: u64 = 0x100;
pub const REFUSED: u64 = 0x200;

/// Leaves.
const VP_VMCALL: u64 = 0;
const VP_INFO: u64 = 1;
const VEINFO_GET: u64 = 3;
const PAGE_ACCEPT: u64 = 6;

/// Functions of TDG.VP.VMCALL.
pub const CPUID: u64 = 10;
pub const HLT: u64 = 12;
pub const IO: u64 = 30;
pub const READ_MSR: u64 = 31;
pub const WRITE_MSR: u64 = 32;
const MMIO: u64 = 48;
const MAP_GPA: u64 = 0x1_0001;
const REPORT_FATAL_ERROR: u64 = 0x1_0003;

/// What a leaf leaves in registers.
pub struct Answer {
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
}

fn tdcall(leaf: u64, operand: u64) -> Answer {
    let (rax, rcx, rdx, r8, r9, r10);
    // SAFETY: the leaves of this program write to no memory of Rust's.
    unsafe {
        asm!(".byte 0x66, 0x0f, 0x01, 0xcc", inout("rax") leaf => rax, inout("rcx") operand => rcx, out("rdx") rdx,
            out("r8") r8, out("r9") r9, out("r10") r10, out("r11") _, options(nostack));
    }
    Answer { rax, rcx, rdx, r8, r9, r10 }
}

/// TDG.VP.INFO.
pub fn info() -> Answer {
    tdcall(VP_INFO, 0)
}

/// TDG.VP.VEINFO.GET.
pub fn ve_info() -> Answer {
    tdcall(VEINFO_GET, 0)
}

/// TDG.MEM.PAGE.ACCEPT of a page of 4 KB: its status.
pub fn accept(gpa: u64) -> u64 {
    tdcall(PAGE_ACCEPT, gpa).rax
}

/// TDG.VP.VMCALL: its status (R10), and R11 to R15.
pub fn vmcall(function: u64, operands: [u64; 4]) -> (u64, [u64; 5]) {
    const R10_TO_R15: u64 = 0xFC00;
    let [mut r12, mut r13, mut r14, mut r15] = operands;
    let (rax, status, r11): (u64, u64, u64);
    // SAFETY: the VMM reaches shared memory alone, which is no variable of Rust's.
    unsafe {
        asm!(".byte 0x66, 0x0f, 0x01, 0xcc", inout("rax") VP_VMCALL => rax, inout("rcx") R10_TO_R15 => _,
            inout("r10") 0_u64 => status, inout("r11") function => r11, inout("r12") r12, inout("r13") r13,
            inout("r14") r14, inout("r15") r15, options(nostack));
    }
    if rax != 0 {
        give_up(REFUSED);
    }
    (status, [r11, r12, r13, r14, r15])
}

/// As [`vmcall`], for what the VMM has to do.
pub fn ask(function: u64, operands: [u64; 4]) -> [u64; 5] {
    let (status, answer) = vmcall(function, operands);
    if status != 0 {
        give_up(REFUSED + function);
    }
    answer
}

/// Has the VMM make a range shared or private, by its address.
pub fn map_gpa(gpa: u64, bytes: u64) {
    ask(MAP_GPA, [gpa, bytes, 0, 0]);
}

/// Writes a word to a device of the VMM's.
pub fn write_device(gpa: u64, word: u64) {
    ask(MMIO, [8, 1, gpa, word]);
}

/// Ends the TD.
pub fn give_up(why: u64) -> ! {
    loop {
        vmcall(REPORT_FATAL_ERROR, [why, 0, 0, 0]);
    }
}
