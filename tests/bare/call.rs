//! SEAMCALL and TDCALL with all registers.

use core::arch::global_asm;

/// General-purpose registers by their numbers in an encoding. RSP is not passed.
pub type Registers = [u64; 16];
pub const RAX: usize = 0;
pub const RCX: usize = 1;
pub const RDX: usize = 2;
pub const RBX: usize = 3;
pub const RBP: usize = 5;
pub const RSI: usize = 6;
pub const RDI: usize = 7;

/// YMM0 to YMM15.
pub type Vectors = [u64; 64];

macro_rules! instruction {
    ($name:literal, $bytes:literal, $behind:literal) => {
        global_asm!(
            ".pushsection .text",
            concat!(".globl ", $name),
            concat!($name, ":"), // RDI: registers; RSI: vectors, or 0; RAX: whether CF was set
            "push rbx",
            "push rbp",
            "push r12",
            "push r13",
            "push r14",
            "push r15",
            "push rsi",
            "push rdi",
            "test rsi, rsi",
            "jz 2f",
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "vmovdqu ymm\\n, [rsi + 32 * \\n]",
            ".endr",
            "2: mov rax, rdi",
            "mov rcx, [rax + 8]",
            "mov rdx, [rax + 16]",
            "mov rbx, [rax + 24]",
            "mov rbp, [rax + 40]",
            "mov rsi, [rax + 48]",
            "mov rdi, [rax + 56]",
            "mov r8, [rax + 64]",
            "mov r9, [rax + 72]",
            "mov r10, [rax + 80]",
            "mov r11, [rax + 88]",
            "mov r12, [rax + 96]",
            "mov r13, [rax + 104]",
            "mov r14, [rax + 112]",
            "mov r15, [rax + 120]",
            "mov rax, [rax]",
            concat!(".byte ", $bytes),
            $behind,
            "push rdi",
            "mov rdi, [rsp + 8]",
            "mov [rdi], rax",
            "mov [rdi + 8], rcx",
            "mov [rdi + 16], rdx",
            "mov [rdi + 24], rbx",
            "mov [rdi + 40], rbp",
            "mov [rdi + 48], rsi",
            "mov [rdi + 64], r8",
            "mov [rdi + 72], r9",
            "mov [rdi + 80], r10",
            "mov [rdi + 88], r11",
            "mov [rdi + 96], r12",
            "mov [rdi + 104], r13",
            "mov [rdi + 112], r14",
            "mov [rdi + 120], r15",
            "pop rax",
            "mov [rdi + 56], rax",
            "xor eax, eax",
            "4: mov rsi, [rsp + 8]",
            "test rsi, rsi",
            "jz 5f",
            ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "vmovdqu [rsi + 32 * \\n], ymm\\n",
            ".endr",
            "5: pop rdi",
            "pop rsi",
            "pop r15",
            "pop r14",
            "pop r13",
            "pop r12",
            "pop rbp",
            "pop rbx",
            "ret",
            "3: mov eax, 1",
            "jmp 4b",
            ".popsection",
        );
    };
}
instruction!("seamcall", "0x66, 0x0f, 0x01, 0xcf", "jc 3f");
instruction!("tdcall", "0x66, 0x0f, 0x01, 0xcc", "nop");

unsafe extern "C" {
    fn seamcall(registers: *mut Registers, vectors: *mut Vectors) -> u64;
    fn tdcall(registers: *mut Registers, vectors: *mut Vectors) -> u64;
}

/// SEAMCALL; false where it failed by CF.
pub fn to_module(registers: &mut Registers) -> bool {
    // SAFETY: the assembly above stores in what it is handed, and keeps what its callers keep.
    unsafe { seamcall(registers, core::ptr::null_mut()) == 0 }
}

/// SEAMCALL with vector registers.
pub fn to_module_with(registers: &mut Registers, vectors: &mut Vectors) -> bool {
    // SAFETY: the assembly above stores in what it is handed, and keeps what its callers keep.
    unsafe { seamcall(registers, vectors) == 0 }
}

/// TDCALL.
pub fn from_td(registers: &mut Registers) {
    // SAFETY: the assembly above stores in what it is handed, and keeps what its callers keep.
    unsafe { tdcall(registers, core::ptr::null_mut()) };
}

/// TDCALL with vector registers.
pub fn from_td_with(registers: &mut Registers, vectors: &mut Vectors) {
    // SAFETY: the assembly above stores in what it is handed, and keeps what its callers keep.
    unsafe { tdcall(registers, vectors) };
}
