//! The SEAM firmware of an emulated Intel TDX platform: P-SEAMLDR and the TDX module, as a pure library.
//!
//! [`Firmware`] is a function of (LP, registers, guest memory, state, time) to (registers, memory writes, state,
//! duration). It does no IO, starts no thread and reads no clock. A mistake of the caller is a status value that goes
//! back to the guest; a mistake of this crate is a panic.

pub mod abi;
pub mod config;
pub mod faults;
pub mod generation;
pub mod image;
pub mod locks;
pub mod script;

mod audit;
mod call;
mod context;
mod describe;
mod durations;
mod entry;
mod firmware;
mod guest;
mod inflight;
mod internal_failure;
mod memory;
mod module;
mod notes;
mod platform;
mod save;
mod seamldr;
mod world;

pub use call::{Caller, Completion, Outcome, Regs, Reply};
pub use config::{Config, ConfigError, KeyHash, LoaderGeneration, LogicalProcessor, MemoryRange};
pub use durations::Durations;
pub use entry::{Registers, Start, TdExit, TdcallEnd, Translation, VpEntry};
pub use faults::{Corruption, Fault, FaultAction, FaultPoint};
pub use firmware::{BootError, Firmware};
pub use generation::Generation;
pub use memory::{BadAddress, GuestMemory, SparseMemory};
pub use notes::Note;
pub use save::RestoreError;

// What is instrumented for fuzzing calls into libFuzzer, and that is linked through this crate.
#[cfg(test)]
use bolero as _;
