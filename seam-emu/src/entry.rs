//! A TD's vCPU with machine code, as whoever brings the processor sees it.

use serde::{Deserialize, Serialize};

/// A vCPU that an LP has entered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VpEntry {
    /// Physical address of its TDVPR.
    pub tdvpr: u64,
    /// Physical address of its TD's TDR.
    pub tdr: u64,
    /// vCPUs that the TD has.
    pub vcpus: u32,
    /// Number of the TD's translations. Those that were made under another number must not be used by who enters now.
    pub translations: u64,
    /// The VMM asks for a non-maskable interrupt (`PEND_NMI`), which counts as delivered.
    pub nmi: bool,
    /// With what the vCPU begins; none: it was entered before.
    pub start: Option<Start>,
}

/// What a vCPU begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Start {
    /// Bits of a guest-physical address: 48 or 52. The highest one marks shared memory.
    pub gpaw: u8,
    /// The TD's ATTRIBUTES.
    pub attributes: u64,
    /// The TD's XFAM.
    pub xfam: u64,
    /// vCPUs that the TD may have.
    pub max_vcpus: u32,
    /// The vCPU's number, from 0.
    pub index: u32,
    /// Its RCX and R8, from TDH.VP.INIT.
    pub initial_rcx: u64,
    /// The platform's CPUID leaf 1 EAX.
    pub cpuid_1_eax: u32,
    /// `IA32_ARCH_CAPABILITIES` as the TD sees it: what its VMM configured (what a module adds from the platform's is
    /// unverified).
    pub arch_capabilities: u64,
}

/// How a vCPU with machine code left to its VMM.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TdExit {
    /// By TDG.VP.VMCALL.
    pub vmcall: bool,
    /// By a fault that ends it.
    pub dead: bool,
    /// An interrupt waits that its own priority lets it take.
    pub interrupt_waits: bool,
    /// Where its registers lie.
    pub registers: Registers,
}

/// Where the registers of a vCPU with machine code lie while it does not run: in memory that belongs to SEAM, as its TDVPS would.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registers {
    /// Physical address of all of them.
    pub pa: u64,
    /// Their size, bytes; 0: nowhere.
    pub bytes: u64,
    /// Physical address of the general-purpose ones, 128 bytes.
    pub general: u64,
}

/// How a TDCALL ends that the firmware serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TdcallEnd {
    /// With a status in RAX. Registers are written.
    Done,
    /// The TD leaves by an EPT violation, and makes the same TDCALL when it is entered again.
    Violation {
        /// Guest-physical address.
        gpa: u64,
        /// What the entries on the way allow, bits 2:0.
        rwx: u8,
        /// The exit's extended qualification.
        details: u64,
    },
    /// The TD gets a #VE for this guest-physical address.
    Ve {
        /// The address.
        gpa: u64,
    },
}

/// Where an access of a TD leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Translation {
    /// To a page.
    Page {
        /// Its physical address.
        pa: u64,
        /// The TD may write to it.
        writable: bool,
    },
    /// To its VMM, by an EPT violation.
    Violation {
        /// What the entries on the way allow, bits 2:0.
        rwx: u8,
        /// The exit's extended qualification.
        details: u64,
    },
    /// To a #VE.
    Ve,
}
