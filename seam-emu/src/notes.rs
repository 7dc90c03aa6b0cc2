//! Things that happened inside the firmware and belong on the timeline.

use serde::{Deserialize, Serialize};

/// One thing that happened inside the firmware.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Note {
    /// The TDX module's state changed; numbers as in [`crate::Firmware::module_state`].
    ModuleState {
        /// The state before.
        old: u64,
        /// The state after.
        new: u64,
    },
    /// A digest of all that belongs to a TD, taken when the module exports and imports its state.
    TdDigest {
        /// Physical address of the TD's root page (TDR).
        tdr: u64,
        /// SHA-384 over pages, registers, measurements and KeyID.
        #[serde(with = "hex::serde")]
        digest: [u8; 48],
    },
    /// A leaf was called that real firmware has and this model has not.
    UnmodelledLeaf {
        /// RAX as it was passed.
        leaf: u64,
    },
}
