//! SEAM firmware for a virtual machine of KVM, from the side of the process that owns it.
//!
//! In the kernel's text each instruction that concerns SEAM is replaced by one of the same length that leaves the guest
//! ([`rewrite`]). Where the vCPU left says which instruction was meant, and it is carried out here: SEAMCALL by
//! [`seam_emu`], VMXON, VMXOFF and CR4 by a shadow, accesses to watched words by hand ([`Emulator`]). [`run`] is what
//! stands in the place of one `KVM_RUN`.
//!
//! So far only this crate's tests and benchmark use it. Nothing here is guessed: bytes that are not the expected
//! ones, and instructions that are not known, are errors that name the address and the bytes.

mod access;
mod arithmetic;
mod emulator;
mod events;
mod exit;
mod find;
mod image;
mod in_flight;
mod kernel_map;
mod kvm_vcpu;
mod operation;
mod ram;
mod recognise;
pub mod registers;
pub mod rewrite;
mod run;
mod run_area;
mod seamcall;
mod sight;
mod site;
mod symbols;
mod turn;
mod vcpu;
mod vmx;
mod words;

pub use access::{Access, Effect, Operand};
pub use emulator::{Emulator, Options, SetupError};
pub use events::Events;
pub use exit::{Exit, UnknownExit};
pub use find::{FindError, Subject, find};
pub use image::{ImageError, KernelImage, Segment};
pub use kernel_map::KernelMap;
pub use kvm_vcpu::KvmVcpu;
pub use operation::Operation;
pub use ram::Ram;
pub use recognise::{access, facade};
pub use run::{Ended, RunError, run};
pub use run_area::{Closed, RunArea};
pub use site::{Code, Site, Sites};
pub use symbols::Symbols;
pub use vcpu::{Exception, Vcpu, VcpuError};
