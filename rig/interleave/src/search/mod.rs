//! All states that some order of the CPUs' operations reaches.

mod explore;
mod explorer;
mod fingerprint;
mod graph;
mod operation;
mod section;
mod state;
mod tell;
mod walk;

pub use explore::{Explored, Finding, Progress};
pub use explorer::{Explorer, Options};
pub use section::{Control, QueueNode, Record, Section};
