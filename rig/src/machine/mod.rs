//! The machine: QEMU, its command line, its monitor and its process. Nothing outside this module knows QEMU.

pub mod command;
mod deathsig;
pub mod memory;
pub mod process;
pub mod qmp;
pub mod sockets;
