//! The firmware model served over shared memory, for virtual machines whose SEAMCALLs never reach QEMU.
//!
//! On KVM a SEAMCALL raises #UD inside the guest. A kernel module there (`guest-kmod/shim.c`) catches it, writes the operand
//! registers into its CPU's slot of the [`slots`] (an ivshmem device's memory), rings a doorbell if the server sleeps, and
//! spins until the answer is there. The server maps those slots and the guest's memory, and asks the unchanged model.
//!
//! The guest is not trusted: a slot's words are read once, into a value of our own; whatever they say is checked or harmless;
//! and guest memory is reached through a mapping with bounds.

mod clock;
mod guest_memory;
mod ivshmem;
mod request_handler;
mod server;
mod shared;
pub mod slots;

pub use guest_memory::{GuestRam, RamRange};
pub use request_handler::{RequestHandler, Round, StartError};
pub use server::{Server, ServerSpec};
pub use shared::Shared;
