//! From the TD's first instruction to Rust, and its page tables.

use core::arch::global_asm;

/// Bytes from a vCPU's part of memory to the end of its stack (`rig/src/tds/layout.rs`).
const STACK_END: u64 = 8 * 4096;

global_asm!(
    // TDX module `td_vmcs_init.c`: 32-bit protected mode with flat segments, at the last 16 bytes below 4 GB; RCX has what the VMM
    // gave to TDH.VP.INIT: the address of the vCPU's part of memory.
    ".pushsection .reset, \"ax\"",
    ".code32",
    ".org 0xff0",
    ".globl reset",
    "reset:",
    "movl $enter32, %eax",
    "jmpl *%eax",
    ".org 0x1000",
    ".popsection",
    ".pushsection .text",
    "enter32:",
    "cli",
    "movl %ecx, %ebp",
    "lgdt gdt_pointer",
    "movl $0x10, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    "movl $page_top, %eax",
    "movl %eax, %cr3",
    "movl %cr4, %eax",
    "orl $0x620, %eax", // OSXMMEXCPT, OSFXSR, PAE
    "movl %eax, %cr4",
    "movl %cr0, %eax",
    "orl $0x80010002, %eax", // PG, WP, MP; EFER.LME is set
    "andl $0xfffffff3, %eax", // no EM, no TS
    "movl %eax, %cr0",
    "ljmp $8, $enter64",
    ".code64",
    "enter64:",
    "movl %ebp, %edi",
    "leaq {STACK_END}(%rdi), %rsp",
    "call td_main",
    "ud2",
    ".popsection",
    ".pushsection .data",
    ".balign 8",
    "gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff",
    "gdt_pointer: .word 23",
    ".long gdt, 0",
    // Linear addresses of the first gigabyte are guest-physical ones; 512 GB above, the same shared: bit 47. All entries are
    // accessed and dirty already.
    ".balign 4096",
    "page_top: .quad page_private + 0x27, page_shared + 0x27",
    ".balign 4096",
    "page_private: .quad directory_private + 0x27",
    ".balign 4096",
    "page_shared: .quad directory_shared + 0x27",
    ".irp which, private, shared",
    ".balign 4096",
    "directory_\\which:",
    ".set n, 0",
    ".rept 512",
    ".ifc \\which, private",
    ".quad n << 21 | 0xe7",
    ".else",
    ".quad n << 21 | 1 << 47 | 0xe7",
    ".endif",
    ".set n, n + 1",
    ".endr",
    ".endr",
    ".balign 4096",
    ".popsection",
    STACK_END = const STACK_END,
    options(att_syntax)
);
