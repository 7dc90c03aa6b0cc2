//! All states that some order of the CPUs' operations reaches.

mod describe;
mod explore;
mod explorer;
mod fingerprint;
mod graph;
mod operation;
mod section;
mod state;
mod walk;

pub use explore::{Explored, Finding, Progress};
pub use explorer::{Explorer, Options};
pub use section::{Control, QueueNode, Record, Section};
