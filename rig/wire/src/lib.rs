//! What crosses a boundary between processes of the rig: event records in shared memory, the plan file that the
//! emulator reads at launch, and the protocol between the rig and the agent in the guest.
//!
//! This crate knows the shapes and nothing else: it neither judges nor acts.

pub mod agent;
pub mod event;
pub mod exchange;
pub mod instructions;
pub mod plan;
pub mod ring;
pub mod task;
pub mod td;
