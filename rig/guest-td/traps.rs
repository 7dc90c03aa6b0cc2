//! Exceptions and interrupts. #VE has the VMM do what the TDX module does not.

use crate::{calls, cpu};
use core::arch::{asm, global_asm};
use core::ptr::addr_of_mut;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// The interrupts of this program: what its monitor wakes it by (`rig/monitor/src/attendant.rs`), what the vCPU sends itself by the
/// module, and by its VMM.
pub const WAKE: u64 = 0x40;
pub const SELF: u64 = 0x41;
pub const SENT: u64 = 0x42;
const VIRTUALIZATION: u64 = 20;
/// x2APIC register that ends an interrupt.
const EOI: u32 = 0x80B;
const RFLAGS_IF: u64 = 1 << 9;
/// vCPUs that are told apart.
const VCPUS: usize = 64;

/// What the stubs push.
#[repr(C)]
struct Frame {
    /// R15 to R8, RBP, RDI, RSI.
    others: [u64; 11],
    rdx: u64,
    rcx: u64,
    rbx: u64,
    rax: u64,
    vector: u64,
    error: u64,
    rip: u64,
    cs: u64,
    rflags: u64,
    rsp: u64,
    ss: u64,
}

global_asm!(
    ".pushsection .text",
    ".balign 16",
    "trap_stubs:",
    ".set n, 0",
    ".rept 256",
    ".balign 16",
    // These push an error code themselves.
    ".if (n != 8) && (n != 10) && (n != 11) && (n != 12) && (n != 13) && (n != 14) && (n != 17) && (n != 21)",
    "pushq $0",
    ".endif",
    "pushq $n",
    "jmp trap_common",
    ".set n, n + 1",
    ".endr",
    ".balign 16",
    "trap_common:",
    ".irp register, rax, rbx, rcx, rdx, rsi, rdi, rbp, r8, r9, r10, r11, r12, r13, r14, r15",
    "pushq %\\register",
    ".endr",
    "movq %rsp, %rbx",
    "subq $512, %rsp",
    "andq $~15, %rsp",
    "fxsave64 (%rsp)", // what Rust may use
    "cld",
    "movq %rbx, %rdi",
    "call trap",
    "fxrstor64 (%rsp)",
    "movq %rbx, %rsp",
    ".irp register, r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax",
    "popq %\\register",
    ".endr",
    "addq $16, %rsp",
    "iretq",
    ".popsection",
    options(att_syntax)
);

unsafe extern "C" {
    static trap_stubs: u8;
}

static mut IDT: [[u64; 2]; 256] = [[0; 2]; 256];
/// How often each of this program's interrupts came, by vCPU.
static COUNTS: [[AtomicU64; 3]; VCPUS] = [const { [const { AtomicU64::new(0) }; 3] }; VCPUS];

/// Loads the table of all vectors.
pub fn load() {
    #[repr(C, packed)]
    struct Pointer(u16, u64);
    const CODE: u64 = 8;
    const GATE: u64 = 0x8E;
    // SAFETY: each vCPU writes the same; the stubs have 16 bytes each.
    unsafe {
        for vector in 0..256 {
            let at = (&raw const trap_stubs) as u64 + vector as u64 * 16;
            IDT[vector] = [at & 0xFFFF | CODE << 16 | GATE << 40 | (at >> 16 & 0xFFFF) << 48, at >> 32];
        }
        let pointer = Pointer(4095, addr_of_mut!(IDT) as u64);
        asm!("lidt [{}]", in(reg) &pointer, options(nostack));
    }
}

/// How often an interrupt of this program's has come to this vCPU.
pub fn count(vector: u64) -> u64 {
    counter(vector).load(Relaxed)
}

fn counter(vector: u64) -> &'static AtomicU64 {
    &COUNTS[calls::info().r9 as usize % VCPUS][(vector - WAKE) as usize]
}

#[unsafe(no_mangle)]
extern "C" fn trap(frame: &mut Frame) {
    match frame.vector {
        VIRTUALIZATION => virtualization(frame),
        WAKE | SELF | SENT => {
            counter(frame.vector).fetch_add(1, Relaxed);
            cpu::wrmsr(EOI, 0);
        }
        other => calls::give_up(other),
    }
}

/// Has the VMM do what the instruction wants, and goes on behind it.
fn virtualization(frame: &mut Frame) {
    let info = calls::ve_info();
    let (reason, qualification) = (info.rcx, info.rdx);
    match reason {
        calls::CPUID => {
            let [_, eax, ebx, ecx, edx] = calls::ask(reason, [frame.rax & 0xFFFF_FFFF, frame.rcx & 0xFFFF_FFFF, 0, 0]);
            (frame.rax, frame.rbx, frame.rcx, frame.rdx) = (eax, ebx, ecx, edx);
        }
        // Whether interrupts are blocked, for which the VMM need not wake the TD.
        calls::HLT => _ = calls::ask(reason, [u64::from(frame.rflags & RFLAGS_IF == 0), 0, 0, 0]),
        calls::IO => {
            const INPUT: u64 = 1 << 3;
            const STRING: u64 = 1 << 4;
            if qualification & (INPUT | STRING) != 0 {
                calls::give_up(frame.vector);
            }
            let (size, port) = ((qualification & 7) + 1, qualification >> 16 & 0xFFFF);
            calls::ask(reason, [size, 1, port, frame.rax & (1 << (8 * size)) - 1]);
        }
        calls::READ_MSR => {
            let [value, ..] = calls::ask(reason, [frame.rcx & 0xFFFF_FFFF, 0, 0, 0]);
            (frame.rax, frame.rdx) = (value & 0xFFFF_FFFF, value >> 32);
        }
        calls::WRITE_MSR => {
            let value = frame.rdx << 32 | frame.rax & 0xFFFF_FFFF;
            calls::ask(reason, [frame.rcx & 0xFFFF_FFFF, value, 0, 0]);
        }
        _ => calls::give_up(frame.vector),
    }
    frame.rip += info.r10 & 0xFFFF_FFFF;
}
