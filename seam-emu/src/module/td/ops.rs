//! Which leaves run in which operation state of a TD, as data.

use super::OpState;
use crate::abi::Leaf;

/// Rows of TDX module `op_state_lookup.c` for modelled leaves: uninitialised, initialised, runnable.
const ALLOWED: &[(Leaf, [bool; 3])] = &[
    (Leaf::VpEnter, [false, false, true]),
    (Leaf::MngAddcx, [true, false, false]),
    (Leaf::MemPageAdd, [false, true, false]),
    (Leaf::MemSeptAdd, [false, true, true]),
    (Leaf::VpAddcx, [false, true, false]),
    (Leaf::MemPageAug, [false, true, true]),
    (Leaf::MemRangeBlock, [false, true, true]),
    (Leaf::VpCreate, [false, true, false]),
    (Leaf::MemPageDemote, [false, true, true]),
    (Leaf::MemPagePromote, [false, true, true]),
    (Leaf::MngRd, [false, true, true]),
    (Leaf::MrExtend, [false, true, false]),
    (Leaf::MrFinalize, [false, true, false]),
    (Leaf::MngInit, [true, false, false]),
    (Leaf::VpInit, [false, true, false]),
    (Leaf::VpRd, [false, true, true]),
    (Leaf::MemPageRemove, [false, true, true]),
    (Leaf::MemTrack, [false, true, true]),
    (Leaf::MemRangeUnblock, [false, true, true]),
    (Leaf::VpWr, [false, true, true]),
];

/// Whether the leaf runs in this state. Leaves without a row do not look at the state.
pub(crate) fn allows(leaf: Leaf, state: OpState) -> bool {
    ALLOWED.iter().find(|(row, _)| *row == leaf).is_none_or(|(_, allowed)| allowed[state as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_td_can_be_entered_only_when_finalized() {
        assert!(allows(Leaf::VpEnter, OpState::Runnable));
        assert!(!allows(Leaf::VpEnter, OpState::Initialized));
        assert!(!allows(Leaf::VpEnter, OpState::Uninitialized));
    }

    #[test]
    fn pages_cannot_be_measured_after_finalization() {
        for leaf in [Leaf::MemPageAdd, Leaf::MrExtend, Leaf::MrFinalize, Leaf::VpInit] {
            assert!(allows(leaf, OpState::Initialized) && !allows(leaf, OpState::Runnable), "{leaf:?}");
        }
    }
}
