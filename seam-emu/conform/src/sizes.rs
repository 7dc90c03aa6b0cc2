//! What a module's sigstruct tells P-SEAMLDR about its sizes and handoff versions.

use crate::module_file::PAGE;

/// What a sigstruct tells. A file that its user built has none; these are the figures with which modules of the 1.5 series
/// run. Numbers of pages are minus 1, as in the sigstruct.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// Stack pages of an LP.
    pub stack: u64,
    /// Local data pages of an LP.
    pub local: u64,
    /// Keyhole pages of an LP.
    pub keyhole: u64,
    /// Global data pages.
    pub global: u64,
    /// Handoff pages.
    pub handoff: u64,
    /// Handoff version that the module produces.
    pub module_hv: u16,
    /// Lowest handoff version that it consumes.
    pub min_update_hv: u16,
    /// It refuses to produce a lower one.
    pub no_downgrade: bool,
}

impl Default for Sizes {
    /// The figures of 1.5.01 to 1.5.25, with handoff version 0 (run).
    fn default() -> Self {
        Self {
            stack: 1,
            local: 1,
            keyhole: 127,
            global: 20,
            handoff: 13,
            module_hv: 0,
            min_update_hv: 0,
            no_downgrade: false,
        }
    }
}

impl Sizes {
    /// Bytes of a number of pages that is minus 1.
    pub(crate) const fn bytes(minus_one: u64) -> u64 {
        (minus_one + 1) * PAGE
    }

    /// Bytes of an LP's stack and the page of its shadow stack.
    pub(crate) const fn stack_of_lp(&self) -> u64 {
        Self::bytes(self.stack) + PAGE
    }
}
