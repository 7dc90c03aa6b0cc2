//! From the first instruction to Rust: of the machine, of its other processors, and of a trust domain.

use core::arch::global_asm;

/// Processors that have a stack.
pub const MOST_CPUS: usize = 8;
/// Where other processors begin: a page below 1 MB, the number of which is the vector of the start-up interrupt.
pub const TRAMPOLINE: u64 = 0x8000;
/// Bytes of a stack.
const STACK: usize = 16384;

unsafe extern "C" {
    pub static image_start: u8;
    pub static image_end: u8;
    pub static trampoline: u8;
    pub static trampoline_end: u8;
    pub static td_start: u8;
    /// Entries of the first gigabytes of linear memory, 2 MB each.
    pub static mut page_directory: [u64; 2048];
}

global_asm!(
    // Xen's note XEN_ELFNOTE_PHYS32_ENTRY (18), by which QEMU starts an ELF file (PVH).
    ".pushsection .note.pvh, \"a\", @note",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long start32",
    ".popsection",
    ".pushsection .text",
    ".code32",
    ".globl start32",
    "start32:",
    "cli",
    "movl %ebx, %ebp", // hvm_start_info
    "xorl %esi, %esi", // the first processor
    "lgdt gdt_pointer",
    "ljmp $0x18, $enter32",
    // A TD begins here, with its GPAW in EBX and its number in ESI.
    ".globl td_start",
    "td_start:",
    "cli",
    "movl %ebx, %ebp",
    "orl $0x80000000, %esi",
    "lgdt gdt_pointer",
    "ljmp $0x18, $enter32",
    // In 32-bit mode; ESI: number of the processor, its highest bit set in a TD; EBP: an argument.
    "enter32:",
    "movl $0x10, %eax",
    "movl %eax, %ds",
    "movl %eax, %es",
    "movl %eax, %ss",
    // Page tables: 4 GB by identity. Every processor writes the same.
    "movl $page_pointers + 7, page_top",
    "movl $page_directory + 7, page_pointers",
    "movl $page_directory + 0x1007, page_pointers + 8",
    "movl $page_directory + 0x2007, page_pointers + 16",
    "movl $page_directory + 0x3007, page_pointers + 24",
    "testl $0x7fffffff, %esi",
    "jnz 3f",
    "xorl %ecx, %ecx",
    "2: movl %ecx, %eax",
    "shll $21, %eax",
    "orl $0x87, %eax",
    "movl %eax, page_directory(,%ecx,8)",
    "incl %ecx",
    "cmpl $2048, %ecx",
    "jne 2b",
    "3: movl $page_top, %eax",
    "movl %eax, %cr3",
    "movl %cr4, %eax",
    "orl $0x40620, %eax", // OSXSAVE, OSXMMEXCPT, OSFXSR, PAE; a TD's MCE stays
    "movl %eax, %cr4",
    "testl %esi, %esi",
    "js 4f", // a TD has LME, and may not write EFER otherwise
    "movl $0xc0000080, %ecx",
    "rdmsr",
    "orl $0x901, %eax", // NXE, LME, SCE
    "wrmsr",
    "4: movl %cr0, %eax",
    "orl $0x80010002, %eax", // PG, WP, MP
    "andl $0xfffffff3, %eax", // no EM, no TS
    "movl %eax, %cr0",
    "ljmp $8, $enter64",
    ".code64",
    "enter64:",
    "xorl %ecx, %ecx",
    "xorl %edx, %edx",
    "movl $7, %eax",
    "xsetbv",
    "movl %esi, %eax",
    "andl $0xff, %eax",
    "incl %eax",
    "imulq ${STACK}, %rax, %rax",
    "leaq stacks(%rax), %rsp",
    "movl %ebp, %edi",
    "testl %esi, %esi",
    "js 5f",
    "call vmm_main",
    "5: andl $0x7fffffff, %esi",
    "call td_main",
    "ud2",
    // Another processor, copied to 0x8000.
    ".code16",
    ".globl trampoline, trampoline_end",
    "trampoline:",
    "cli",
    "xorw %ax, %ax",
    "movw %ax, %ds",
    "lgdtl 0x8000 + (trampoline_gdt - trampoline)",
    "movl %cr0, %eax",
    "orb $1, %al",
    "movl %eax, %cr0",
    "ljmpl $0x18, $other32",
    "trampoline_gdt: .word 39",
    ".long gdt",
    "trampoline_end:",
    ".code32",
    "other32:",
    "movl $0x10, %eax",
    "movl %eax, %ds",
    "movl $1, %esi",
    "lock xaddl %esi, others",
    "incl %esi",
    "xorl %ebp, %ebp",
    "jmp enter32",
    ".code64",
    ".popsection",
    ".pushsection .data",
    ".balign 8",
    ".globl gdt",
    "gdt: .quad 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0x00cf9b000000ffff",
    ".quad 0x0000890000000067, 0", // a TSS, for processors that want one
    "gdt_pointer: .word 47",
    ".long gdt, 0",
    ".globl others",
    "others: .long 0",
    ".popsection",
    ".pushsection .bss",
    ".balign 4096",
    "page_top: .skip 4096",
    "page_pointers: .skip 4096",
    ".globl page_directory",
    "page_directory: .skip 16384",
    "stacks: .skip {STACK} * {MOST_CPUS}",
    ".popsection",
    STACK = const STACK,
    MOST_CPUS = const MOST_CPUS,
    options(att_syntax)
);
