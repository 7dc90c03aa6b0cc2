//! The code of SEAM root: it runs in hidden memory on the vCPU that executed SEAMCALL, and switches to the TD and back.
//!
//! RBX is the LP's context ([`seam_td::hidden::context`]), RSP the LP's own stack. Everything of the VMM stays mapped, and it is
//! the VMM's handler that serves an NMI here, before CLGI and behind the last STGI. The code is copied, so it names only itself.

#![allow(unsafe_code, reason = "labels of assembly are foreign variables")]

use seam_td::hidden::{PAGE, TD_DRS, TD_TSC_AUX, context};
use std::arch::global_asm;

/// MSR with the physical address of the page where VMRUN saves the host's state (APM 15.30.4).
const VM_HSAVE_PA: u32 = 0xC001_0117;
/// MSR that RDTSCP and RDPID tell, which neither VMRUN nor VMLOAD switches.
const TSC_AUX: u32 = 0xC000_0103;
/// MSR that tells the local APIC's mode, and its bit for x2APIC mode; the register that ends an interrupt, by its offset and by
/// its MSR (SDM volume 3, 12.4.4 and 12.12.1).
const APIC_BASE: u32 = 0x1B;
const X2APIC_MODE: u32 = 1 << 10;
const EOI: u32 = 0xB0;
const X2APIC_EOI: u32 = 0x80B;

// Numbers of general-purpose registers in an encoding, times 8, are their offsets from where the context's GPRS leads.
global_asm!(
    ".pushsection .rodata.seam_stub, \"a\"",
    // The labels, for all of this crate and for nothing else.
    ".irp label, start, enter, set_xcr0, run, exit, acknowledge, acknowledged, dismiss, leave, back, gate, end",
    ".globl seam_stub_\\label",
    ".hidden seam_stub_\\label",
    ".endr",
    "seam_stub_start:",
    // ---- The VMM's state is saved, the TD's is loaded. RFLAGS.IF is 0.
    "seam_stub_enter:",
    "clgi", // neither interrupts nor NMIs from here on
    "mov dword ptr [rbx + {IN_TD}], 1",
    "mov rax, [rbx + {HOST_VMCB}]",
    "vmsave rax", // FS, GS, TR, LDTR, the kernel's GS base, STAR to SFMASK, SYSENTER's MSRs
    "mov rax, [rbx + {HOST_SAVE}]",
    "mov rdx, rax",
    "shr rdx, 32",
    "mov ecx, {VM_HSAVE_PA}",
    "wrmsr", // where VMRUN saves the rest
    "sidt [rbx + {HOST_IDTR}]",
    "lidt [rbx + {STUB_IDTR}]", // whose gates note a vector
    "mov rax, cr2",
    "mov [rbx + {HOST_CR2}], rax",
    "mov rax, dr0",
    "mov [rbx + {HOST_DRS}], rax",
    "mov rax, dr1",
    "mov [rbx + {HOST_DRS} + 8], rax",
    "mov rax, dr2",
    "mov [rbx + {HOST_DRS} + 16], rax",
    "mov rax, dr3",
    "mov [rbx + {HOST_DRS} + 24], rax",
    "xor ecx, ecx",
    "xgetbv",
    "mov [rbx + {HOST_XCR0}], eax",
    "mov [rbx + {HOST_XCR0} + 4], edx",
    "mov rdi, [rbx + {HOST_XSAVE}]",
    "mov eax, -1",
    "mov edx, -1",
    "xsave64 [rdi]", // all that the VMM's XCR0 enables
    "xor ecx, ecx",
    "mov eax, {SWITCHED}",
    "xor edx, edx",
    "xsetbv", // a TD may use SSE without enabling it in XCR0
    "mov rdi, [rbx + {TD_XSAVE}]",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rdi]",
    "mov rax, [rbx + {GPRS}]",
    "mov rcx, [rax + {TD_DRS}]",
    "mov dr0, rcx",
    "mov rcx, [rax + {TD_DRS} + 8]",
    "mov dr1, rcx",
    "mov rcx, [rax + {TD_DRS} + 16]",
    "mov dr2, rcx",
    "mov rcx, [rax + {TD_DRS} + 24]",
    "mov dr3, rcx",
    "mov esi, [rax + {TD_TSC_AUX}]",
    "mov ecx, {TSC_AUX}",
    "rdmsr",
    "mov [rbx + {HOST_TSC_AUX}], eax",
    "mov eax, esi",
    "xor edx, edx",
    "wrmsr",
    "mov rax, [rbx + {VMCB}]",
    "vmload rax", // the counterpart of VMSAVE
    // ---- The TD's XCR0, which it may have set.
    "seam_stub_set_xcr0:",
    "xor ecx, ecx",
    "mov eax, [rbx + {TD_XCR0}]",
    "mov edx, [rbx + {TD_XCR0} + 4]",
    "xsetbv",
    // ---- The TD runs.
    "seam_stub_run:",
    "push rbx",
    "mov rax, [rbx + {VMCB}]",
    "mov rbx, [rbx + {GPRS}]",
    "mov rcx, [rbx + 8]",
    "mov rdx, [rbx + 16]",
    "mov rbp, [rbx + 40]",
    "mov rsi, [rbx + 48]",
    "mov rdi, [rbx + 56]",
    "mov r8, [rbx + 64]",
    "mov r9, [rbx + 72]",
    "mov r10, [rbx + 80]",
    "mov r11, [rbx + 88]",
    "mov r12, [rbx + 96]",
    "mov r13, [rbx + 104]",
    "mov r14, [rbx + 112]",
    "mov r15, [rbx + 120]",
    "mov rbx, [rbx + 24]",
    "sti",       // in the TD physical interrupts go by this flag (V_INTR_MASKING), not by the TD's own
    "vmrun rax", // RAX, RSP, RIP and RFLAGS are those of the VMCB until #VMEXIT
    "cli",       // #VMEXIT cleared GIF, so nothing came in between
    "push rbx",
    "mov rbx, [rsp + 8]",
    "mov rax, [rbx + {GPRS}]",
    "mov [rax + 8], rcx",
    "mov [rax + 16], rdx",
    "mov [rax + 40], rbp",
    "mov [rax + 48], rsi",
    "mov [rax + 56], rdi",
    "mov [rax + 64], r8",
    "mov [rax + 72], r9",
    "mov [rax + 80], r10",
    "mov [rax + 88], r11",
    "mov [rax + 96], r12",
    "mov [rax + 104], r13",
    "mov [rax + 112], r14",
    "mov [rax + 120], r15",
    "pop rcx",
    "mov [rax + 24], rcx", // the TD's RBX
    "add rsp, 8",
    "jmp seam_stub_exit", // so that SEAMRET begins a block, before which TCG has stored its flags
    "seam_stub_exit:",
    ".byte 0x66, 0x0f, 0x01, 0xcd", // SEAMRET, the plugin's: what now?
    "hlt",
    // ---- What ended the TD is taken with our gates, as VMX's "acknowledge interrupt on exit" does. TR is the TD's still: the
    // gates name no stack and no other privilege level.
    "seam_stub_acknowledge:",
    "stgi", // a pending NMI comes behind this one
    "nop",
    "nop",
    "cmp dword ptr [rbx + {VECTOR}], 0",
    "jne 2f",
    "sti",
    "nop", // a pending interrupt comes behind this one
    "nop",
    "cli",
    "2:",
    "clgi",
    "jmp seam_stub_acknowledged",
    "seam_stub_acknowledged:",
    ".byte 0x66, 0x0f, 0x01, 0xcd", // the plugin's: which was it?
    "hlt",
    // ---- What was taken told of posted interrupts: the local APIC is told that it was served, and the TD goes on.
    "seam_stub_dismiss:",
    "mov ecx, {APIC_BASE}",
    "rdmsr",
    "test eax, {X2APIC_MODE}",
    "jnz 2f",
    "mov rax, [rbx + {APIC}]",
    "mov dword ptr [rax + {EOI}], 0",
    "jmp seam_stub_run",
    "2:",
    "mov ecx, {X2APIC_EOI}",
    "xor eax, eax",
    "xor edx, edx",
    "wrmsr",
    "jmp seam_stub_run",
    // ---- The TD's state is saved, the VMM's is loaded.
    "seam_stub_leave:",
    "mov rax, [rbx + {VMCB}]",
    "vmsave rax",
    "xor ecx, ecx",
    "mov eax, {SWITCHED}",
    "xor edx, edx",
    "xsetbv",
    "mov rdi, [rbx + {TD_XSAVE}]",
    "mov eax, -1",
    "mov edx, -1",
    "xsave64 [rdi]",
    "mov rax, [rbx + {GPRS}]",
    "mov rcx, dr0",
    "mov [rax + {TD_DRS}], rcx",
    "mov rcx, dr1",
    "mov [rax + {TD_DRS} + 8], rcx",
    "mov rcx, dr2",
    "mov [rax + {TD_DRS} + 16], rcx",
    "mov rcx, dr3",
    "mov [rax + {TD_DRS} + 24], rcx",
    "mov rsi, rax",
    "mov ecx, {TSC_AUX}",
    "rdmsr",
    "mov [rsi + {TD_TSC_AUX}], eax",
    "mov eax, [rbx + {HOST_TSC_AUX}]",
    "xor edx, edx",
    "wrmsr",
    "xor ecx, ecx",
    "mov eax, [rbx + {HOST_XCR0}]",
    "mov edx, [rbx + {HOST_XCR0} + 4]",
    "xsetbv",
    "mov rdi, [rbx + {HOST_XSAVE}]",
    "mov eax, -1",
    "mov edx, -1",
    "xrstor64 [rdi]",
    "mov rax, [rbx + {HOST_DRS}]",
    "mov dr0, rax",
    "mov rax, [rbx + {HOST_DRS} + 8]",
    "mov dr1, rax",
    "mov rax, [rbx + {HOST_DRS} + 16]",
    "mov dr2, rax",
    "mov rax, [rbx + {HOST_DRS} + 24]",
    "mov dr3, rax",
    "mov rax, [rbx + {HOST_CR2}]",
    "mov cr2, rax",
    "mov rax, [rbx + {HOST_VMCB}]",
    "vmload rax",
    "lidt [rbx + {HOST_IDTR}]",
    "mov dword ptr [rbx + {IN_TD}], 0",
    "stgi", // an NMI that waited is the VMM's
    "jmp seam_stub_back",
    "seam_stub_back:",
    ".byte 0x66, 0x0f, 0x01, 0xcd", // the plugin's: back behind SEAMCALL
    "hlt",
    // ---- Where all gates lead, behind the instruction that notes the vector. What interrupted goes on without interrupts.
    "seam_stub_gate:",
    "and qword ptr [rsp + 16], ~0x200",
    "iretq",
    "seam_stub_end:",
    ".popsection",
    HOST_VMCB = const context::HOST_VMCB,
    HOST_SAVE = const context::HOST_SAVE,
    VMCB = const context::VMCB,
    GPRS = const context::GPRS,
    HOST_XSAVE = const context::HOST_XSAVE,
    TD_XSAVE = const context::TD_XSAVE,
    HOST_XCR0 = const context::HOST_XCR0,
    TD_XCR0 = const context::TD_XCR0,
    VECTOR = const context::VECTOR,
    IN_TD = const context::IN_TD,
    HOST_CR2 = const context::HOST_CR2,
    HOST_DRS = const context::HOST_DRS,
    HOST_IDTR = const context::HOST_IDTR,
    STUB_IDTR = const context::STUB_IDTR,
    TD_DRS = const TD_DRS,
    TD_TSC_AUX = const TD_TSC_AUX,
    HOST_TSC_AUX = const context::HOST_TSC_AUX,
    TSC_AUX = const TSC_AUX,
    APIC = const context::APIC,
    APIC_BASE = const APIC_BASE,
    X2APIC_MODE = const X2APIC_MODE,
    X2APIC_EOI = const X2APIC_EOI,
    EOI = const EOI,
    SWITCHED = const seam_td::serve::xcr0::SWITCHED,
    VM_HSAVE_PA = const VM_HSAVE_PA,
);

unsafe extern "C" {
    static seam_stub_start: u8;
    static seam_stub_enter: u8;
    static seam_stub_set_xcr0: u8;
    static seam_stub_run: u8;
    static seam_stub_exit: u8;
    static seam_stub_acknowledge: u8;
    static seam_stub_acknowledged: u8;
    static seam_stub_dismiss: u8;
    static seam_stub_leave: u8;
    static seam_stub_back: u8;
    static seam_stub_gate: u8;
    static seam_stub_end: u8;
}

/// A place in the stub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Switches to the TD.
    Enter,
    /// Runs the TD with another XCR0.
    SetXcr0,
    /// Runs the TD.
    Run,
    /// SEAMRET behind an exit.
    SiteExit,
    /// Takes what is pending.
    Acknowledge,
    /// SEAMRET behind that.
    SiteAcknowledged,
    /// Ends a notification at the local APIC, and runs the TD.
    Dismiss,
    /// Switches to the VMM.
    Leave,
    /// SEAMRET behind that.
    SiteBack,
    /// What all gates lead to.
    Gate,
}

impl Place {
    /// Offset in the stub, bytes.
    pub(super) fn offset(self) -> u64 {
        let label = match self {
            Self::Enter => &raw const seam_stub_enter,
            Self::SetXcr0 => &raw const seam_stub_set_xcr0,
            Self::Run => &raw const seam_stub_run,
            Self::SiteExit => &raw const seam_stub_exit,
            Self::Acknowledge => &raw const seam_stub_acknowledge,
            Self::SiteAcknowledged => &raw const seam_stub_acknowledged,
            Self::Dismiss => &raw const seam_stub_dismiss,
            Self::Leave => &raw const seam_stub_leave,
            Self::SiteBack => &raw const seam_stub_back,
            Self::Gate => &raw const seam_stub_gate,
        };
        label as u64 - &raw const seam_stub_start as u64
    }

    /// The SEAMRET at this offset.
    pub(super) fn site(offset: u64) -> Option<Self> {
        [Self::SiteExit, Self::SiteAcknowledged, Self::SiteBack].into_iter().find(|site| site.offset() == offset)
    }
}

/// The code.
pub(super) fn code() -> &'static [u8] {
    let (start, end) = (&raw const seam_stub_start, &raw const seam_stub_end);
    let length = end as usize - start as usize;
    assert!(length as u64 <= PAGE, "the stub has a page");
    // SAFETY: the assembly above puts both labels around its code, in one section that nobody writes to.
    unsafe { std::slice::from_raw_parts(start, length) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use iced_x86::{Code, Decoder, DecoderOptions};

    #[test]
    fn the_code_is_whole_instructions_and_names_only_itself() {
        let code = code();
        let mut vmruns = 0;
        let mut at_seamret = 0;
        let mut decoder = Decoder::with_ip(64, code, 0, DecoderOptions::NONE);
        while decoder.can_decode() {
            let instruction = decoder.decode();
            let bytes = &code[instruction.ip() as usize..];
            if bytes.starts_with(&[0x66, 0x0F, 0x01, 0xCD]) {
                at_seamret += 1;
                assert!(Place::site(instruction.ip()).is_some(), "a SEAMRET at {:#x}", instruction.ip());
                decoder.set_position(instruction.ip() as usize + 4).unwrap();
                decoder.set_ip(instruction.ip() + 4);
                continue;
            }
            assert_ne!(instruction.code(), Code::INVALID, "{:#x}", instruction.ip());
            assert!(!instruction.is_ip_rel_memory_operand());
            vmruns += usize::from(instruction.code() == Code::Vmrunq);
            if instruction.near_branch_target() != 0 {
                assert!(instruction.near_branch_target() < code.len() as u64);
            }
        }
        assert_eq!((vmruns, at_seamret), (1, 3));
    }

    #[test]
    fn places_are_in_order() {
        let places = [
            Place::Enter,
            Place::SetXcr0,
            Place::Run,
            Place::SiteExit,
            Place::Acknowledge,
            Place::SiteAcknowledged,
            Place::Dismiss,
            Place::Leave,
            Place::SiteBack,
            Place::Gate,
        ];
        assert!(places.map(Place::offset).is_sorted());
        assert_eq!(Place::Enter.offset(), 0);
        assert_eq!(Place::site(1), None);
    }
}
