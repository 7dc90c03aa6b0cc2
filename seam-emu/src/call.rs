//! What goes into a SEAMCALL and what comes out of it.

use crate::entry::VpEntry;
use serde::{Deserialize, Serialize};

/// The general-purpose registers that are operands of SEAMCALL leaves.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[expect(missing_docs, reason = "the names are the architecture's own")]
pub struct Regs {
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rbx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
}

/// Who executes the SEAMCALL, and in which mode of the CPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Caller {
    /// LP number: index into [`crate::Config::lps`].
    pub lp: usize,
    /// The LP executed VMXON and not VMXOFF since.
    pub in_vmx_root: bool,
    /// Current privilege level, 0 to 3.
    pub cpl: u8,
    /// 64-bit mode: EFER.LMA and CS.L are both set.
    pub long_mode: bool,
}

/// How one execution of the SEAMCALL instruction ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The instruction is complete.
    Done(Completion),
    /// The LP is still inside SEAM: execute the instruction again at or after this time.
    Wait {
        /// Absolute time on the caller's clock, in nanoseconds.
        until_ns: u64,
    },
    /// The LP never leaves SEAM (only by a fault of the plan).
    Never,
    /// The LP runs a TD's vCPU: run its machine code, and say when it leaves ([`crate::Firmware::leave_td`]). Only with
    /// [`crate::Config::machine_code`].
    Enter(VpEntry),
}

/// The end of a SEAMCALL, and what is remarkable about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completion {
    /// What the CPU does.
    pub outcome: Outcome,
    /// A fault of the plan made or changed this completion.
    pub by_fault: bool,
    /// The leaf exists in real firmware but is not modelled here; the status is what firmware without it answers.
    pub unmodelled: bool,
    /// The status is due to another LP: a lock that was held, or an LP inside P-SEAMLDR.
    pub contended: bool,
}

/// What the CPU does at the end of a SEAMCALL.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    /// SEAMRET: CF is 0 and the registers hold the leaf's outputs.
    Return,
    /// `VMfailInvalid`: CF is 1 and no register changes.
    VmFailInvalid,
    /// `#UD`.
    Ud,
    /// `#GP(0)`.
    Gp,
}

impl Completion {
    /// A completion with nothing remarkable about it.
    pub const fn plain(outcome: Outcome) -> Self {
        Self { outcome, by_fault: false, unmodelled: false, contended: false }
    }
}
