//! Scripted TDs: what runs inside VP.ENTER.
//!
//! A script is data in the TD's private memory, so that it is loaded, measured and preserved like any TD's code. It
//! begins at the vCPU's initial RCX with the 16 bytes of [`MAGIC`], followed by [`Instruction`]s of 16 bytes. Each
//! vCPU has eight registers, a hash chain and a position; they are part of the TD's state. See [`Op`] for what the
//! instructions do, and [`Script`] to write one.

mod machine;
mod program;
mod run;

pub(crate) use machine::Machine;
pub use program::{Instruction, MAGIC, Op, Script};
pub(crate) use run::{Exit, Memory, Reach, run};
