//! Every interleaving of a kernel's own machine code, explored completely.
//!
//! Some CPUs walk the update's section of an unmodified kernel binary, in every order of their accesses to shared memory and of
//! their SEAMCALLs' begins and ends, above a model of the firmware. Either no order breaks a rule, or the report
//! shows the shortest that does. [`prove`] is the whole of it; `docs/proofs.md` says what a proof means and what it does not.
//!
//! The library does no IO, starts no thread and reads no clock. What it does not know (an instruction, an access, a function's
//! contract) ends the proof as an [`Unprovable`], never with a guess.

pub mod call;
pub mod contract;
mod error;
pub mod firmware;
pub mod image;
pub mod isa;
pub mod kernel;
pub mod local;
mod pack;
mod proof;
pub mod report;
mod request;
pub mod rules;
pub mod search;

pub use error::Unprovable;
pub use pack::Packer;
pub use proof::prove;
pub use request::{Answers, InitialState, MemoryModel, Request};
