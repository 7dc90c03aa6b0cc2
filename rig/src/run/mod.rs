//! One run: from a scenario to its verdict.

mod backend;
mod client;
mod diagnose;
mod drive;
mod folder;
mod holds;
mod hw;
mod interrupt;
mod learn;
mod live;
mod loads;
mod nested;
mod observer;
mod orders;
mod outcome;
mod plan;
mod prepare;
mod program;
mod qemu;
mod scripted;
mod session;
mod snapshot;
mod stack;
mod stall;
mod stop;
mod subject;
mod tds;

pub(crate) use interrupt::Interrupts;
pub use live::run;
pub use nested::run_nested;
pub(crate) use plan::{update_image, update_spec};
pub(crate) use prepare::clone_command;
pub use prepare::{Options, Prepared, prepare};
pub use session::{Counts, Ended, Session, Sessions, Tried};
