//! The software CPU: Unicorn's TCG executes the module, and services stand in for what it lacks.

mod engine;
mod machine;
mod memory;
mod registers;
mod subject;

pub use engine::Stopped;
pub use machine::{Machine, MachineError};
pub use subject::{Code, CodeSubject};
