//! What a vCPU remembers while its SEAMCALL is in flight.

use seam_emu::{Completion, Regs};
use serde::{Deserialize, Serialize};

/// What a vCPU remembers while its SEAMCALL is in flight and the instruction is executed again and again.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct InFlight {
    /// The instruction is executed again.
    pub(crate) active: bool,
    /// RFLAGS.IF when the SEAMCALL began. It is cleared meanwhile: hardware delivers no interrupt inside SEAM root mode.
    pub(crate) interrupts: bool,
    /// Flags of the entry record.
    pub(crate) context: u32,
    /// The firmware is done and the LP is held before it goes on: operands before and after, and how it ended.
    pub(crate) done: Option<(Regs, Regs, Completion)>,
}
