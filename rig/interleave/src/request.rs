//! What is asked of a proof.

use crate::kernel::Entry;

/// What is to be proved.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// CPUs, 1 to 8.
    pub cpus: usize,
    /// Whether one SEAMCALL, whichever, may fail in each way of [`crate::firmware::Failure::ALL`].
    pub failures: bool,
    /// Where the CPUs begin.
    pub entry: Entry,
    /// Debugging: what is dead stays a part of the state. It makes more states and must change no verdict.
    pub keeps_dead: bool,
    /// Debugging: the code is not changed at all. It makes far more states and must change no verdict.
    pub keeps_pending_loop: bool,
    /// The memory that the search may use, in MiB.
    pub memory_mib: usize,
}

impl Default for Request {
    /// Two CPUs, no failure, 4 GiB.
    fn default() -> Self {
        Self {
            cpus: 2,
            failures: false,
            entry: Entry::Section,
            keeps_dead: false,
            keeps_pending_loop: false,
            memory_mib: 4096,
        }
    }
}
