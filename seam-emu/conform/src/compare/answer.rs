//! What a step came to.

use seam_emu::Regs;

/// What a step came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The SEAMCALL returned these registers.
    Returned(Regs),
    /// The SEAMCALL entered a TD, which left at once.
    Entered,
    /// P-SEAMLDR installed the next module.
    Installed,
    /// Memory was written.
    Written,
    /// P-SEAMLDR refused the next module, or there is no module to call.
    Refused(String),
    /// The subject cannot go on.
    Stopped(String),
}
