//! The firmware that answers the SEAMCALLs of the section.

mod emulated;
mod interface;
mod paired;
mod small;

pub use emulated::{Emulated, EmulatedState, PhysicalMemory};
pub use interface::{Failure, Firmware, Operands, Reply};
pub use paired::Paired;
pub use small::Small;

/// The firmware of a proof.
#[derive(Debug)]
pub enum FirmwareModel {
    /// The small model.
    Small,
    /// seam-emu.
    Emulated {
        /// In its state.
        emulated: Box<Emulated>,
        /// Whether it is compared with the small model at each answer.
        compares: bool,
    },
}
