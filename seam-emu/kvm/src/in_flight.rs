//! What an LP remembers while its SEAMCALL lasts.

use seam_emu::{Completion, Regs};

/// What an LP remembers between two looks at one SEAMCALL. Between them the vCPU may have been given back to its owner,
/// who lets it execute the instruction again.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct InFlight {
    /// The call is recorded as begun, and the firmware has it.
    pub(crate) active: bool,
    /// RFLAGS.IF when it began. The vCPU waits without it: hardware delivers no interrupt inside SEAM root mode.
    pub(crate) interrupts: bool,
    /// Flags of the entry record.
    pub(crate) context: u32,
    /// When the firmware wants to be asked again, by the clock of the events, nanoseconds.
    pub(crate) until_ns: u64,
    /// The firmware is done and the LP is held before it goes on: operands before and after, and how the call ended.
    pub(crate) done: Option<(Regs, Regs, Completion)>,
}
