//! What this machine has, what it lacks, and what mends it.

mod examine;
mod host;
mod item;

pub use examine::{DoctorReport, examine};
pub(crate) use host::available_memory_mib;
pub use item::{Item, State};
