//! The firmware that answers the SEAMCALLs of the section.

mod interface;
mod small;

pub use interface::{Failure, Firmware, Reply};
pub use small::Small;
