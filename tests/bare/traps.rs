//! Exceptions and interrupts, of the VMM and of a trust domain.

use core::arch::{asm, global_asm};
use core::ptr::addr_of_mut;

/// What the stubs push.
#[repr(C)]
#[derive(Debug)]
pub struct Frame {
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rbp: u64,
    pub rdi: u64,
    pub rsi: u64,
    pub rdx: u64,
    pub rcx: u64,
    pub rbx: u64,
    pub rax: u64,
    pub vector: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

global_asm!(
    ".pushsection .text",
    ".balign 16",
    ".globl trap_stubs",
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
    "pushq %rax",
    "pushq %rbx",
    "pushq %rcx",
    "pushq %rdx",
    "pushq %rsi",
    "pushq %rdi",
    "pushq %rbp",
    "pushq %r8",
    "pushq %r9",
    "pushq %r10",
    "pushq %r11",
    "pushq %r12",
    "pushq %r13",
    "pushq %r14",
    "pushq %r15",
    "movq %rsp, %rdi",
    "subq $512, %rsp",
    "fxsave64 (%rsp)", // what Rust may use; it has no instruction that touches the rest
    "cld",
    "call trap",
    "fxrstor64 (%rsp)",
    "addq $512, %rsp",
    "popq %r15",
    "popq %r14",
    "popq %r13",
    "popq %r12",
    "popq %r11",
    "popq %r10",
    "popq %r9",
    "popq %r8",
    "popq %rbp",
    "popq %rdi",
    "popq %rsi",
    "popq %rdx",
    "popq %rcx",
    "popq %rbx",
    "popq %rax",
    "addq $16, %rsp",
    "iretq",
    ".popsection",
    options(att_syntax)
);

unsafe extern "C" {
    static trap_stubs: u8;
}

static mut IDT: [[u64; 2]; 256] = [[0; 2]; 256];

/// Loads the table of all vectors.
pub fn load() {
    #[repr(C, packed)]
    struct Pointer(u16, u64);
    // SAFETY: each processor writes the same; the stubs have 16 bytes each.
    unsafe {
        for vector in 0..256 {
            let at = (&raw const trap_stubs) as u64 + vector as u64 * 16;
            IDT[vector] = [at & 0xFFFF | 8 << 16 | 0x8E << 40 | (at >> 16 & 0xFFFF) << 48, at >> 32];
        }
        let pointer = Pointer(4095, addr_of_mut!(IDT) as u64);
        asm!("lidt [{}]", in(reg) &pointer, options(nostack));
    }
}

/// Base of the table that is loaded.
pub fn base() -> u64 {
    let mut pointer = [0_u8; 10];
    // SAFETY: writes the 10 bytes that it is handed.
    unsafe { asm!("sidt [{}]", in(reg) &mut pointer, options(nostack)) };
    u64::from_le_bytes(core::array::from_fn(|i| pointer[i + 2]))
}
