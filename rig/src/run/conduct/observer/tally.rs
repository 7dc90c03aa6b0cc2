//! Counts of what was judged so far.

use std::sync::atomic::AtomicU64;

/// Counts of what was judged so far.
#[derive(Debug, Default)]
pub(crate) struct HoldTally {
    /// Updates whose end was judged.
    pub(crate) updates: AtomicU64,
    /// The last update whose end is marked in the kernel's log, up to which the log was judged.
    pub(crate) log_marks: AtomicU64,
    /// Holds that began.
    pub(crate) begun: AtomicU64,
    /// Holds that ended because their condition came true.
    pub(crate) satisfied: AtomicU64,
}
