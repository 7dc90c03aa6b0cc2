//! The firmware beneath the section: what a SEAMCALL does.

mod interface;
mod small;

pub use interface::{Failure, Firmware, Reply};
pub use small::Small;
