//! #VE, and what TDG.VP.VEINFO.GET tells of it. Source: SDM 26.5.7.2, ABI on TDG.VP.VEINFO.GET.

/// Exit reasons of VMX (SDM appendix C) that a TD sees in #VE or its VMM as an exit.
pub mod reason {
    #![expect(missing_docs, reason = "the names are the manual's own")]
    pub const EXCEPTION_OR_NMI: u64 = 0;
    pub const EXTERNAL_INTERRUPT: u64 = 1;
    pub const TRIPLE_FAULT: u64 = 2;
    pub const CPUID: u64 = 10;
    pub const HLT: u64 = 12;
    pub const IO: u64 = 30;
    pub const RDMSR: u64 = 31;
    pub const WRMSR: u64 = 32;
    pub const MWAIT: u64 = 36;
    pub const MONITOR: u64 = 39;
    pub const EPT_VIOLATION: u64 = 48;
    pub const WBINVD: u64 = 54;
    pub const TDCALL: u64 = 77;
}

/// What the TD reads of its last #VE.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct VeInfo {
    /// Exit reason.
    pub reason: u32,
    /// Exit qualification.
    pub qualification: u64,
    /// Guest-linear address.
    pub gla: u64,
    /// Guest-physical address.
    pub gpa: u64,
    /// Length of the instruction, bytes.
    pub length: u32,
    /// Instruction information.
    pub information: u32,
}

impl VeInfo {
    /// For an instruction of this length.
    pub fn of(reason: u64, length: u32) -> Self {
        Self { reason: reason as u32, length, ..Self::default() }
    }
}
