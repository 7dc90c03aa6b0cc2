//! The machine: QEMU, its command line, its monitors and its process. Nothing outside this module knows QEMU.

pub mod bare;
mod child;
mod clone;
pub mod command;
pub mod control;
pub mod core_file;
mod exit;
pub mod failure;
mod gauge;
mod gdb;
pub mod kvm;
pub mod logs;
pub mod memory;
pub mod probe;
pub mod process;
pub mod qmp;
pub mod registers;
pub mod snapshot;
pub mod sockets;
pub mod standstill;
mod started;
pub mod tsc;

pub use clone::clone_command;
pub use exit::{EXIT_GRACE, QemuExit};
pub use gauge::{Gauge, Usage};
pub use started::{Machine, Monitors, ShutdownReason, command_text};
