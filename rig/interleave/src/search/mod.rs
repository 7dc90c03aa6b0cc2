//! All states that some order of the CPUs' operations reaches.

mod act;
mod choice;
mod dead_nodes;
mod describe;
mod expand;
mod explore;
mod explorer;
mod families;
mod fingerprint;
mod graph;
mod nodes;
mod operation;
mod section;
mod state;
mod states;
mod sweeps;
mod walk;
mod workers;

pub use act::{Act, Deed};
pub use explore::{Explored, Finding, Progress};
pub use explorer::{Explorer, Options};
pub use section::{Control, QueueNode, Record, Section};
pub use workers::{Job, OneByOne, Workers};
