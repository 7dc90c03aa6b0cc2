//! The conformance machine: runs a TDX module as code and compares it with the model, call by call.
//!
//! The module is a file that its user built from Intel's published source; [`ModuleFile`] refuses what Intel released. The
//! machine loads it as P-SEAMLDR does and serves what a software CPU lacks. All of that is free of a CPU and tested without
//! one; the CPU itself is Unicorn's, behind the feature `cpu`.

// Without the CPU only the tests use some of what serves it.
#![cfg_attr(not(feature = "cpu"), allow(dead_code))]

pub mod compare;
pub mod generate;
pub mod search;

mod layout;
mod loader;
mod module_file;
mod paging;
mod platform;
mod services;
mod sites;
mod sizes;
mod sysinfo;
mod vmcs;

#[cfg(feature = "cpu")]
mod conformance;
#[cfg(feature = "cpu")]
mod cpu;

pub use layout::{Layout, Linear};
pub use loader::{LoadError, Loaded, load};
pub use module_file::{ModuleFile, ModuleFileError, Relocation};
pub use paging::MemoryFault;
pub use platform::{MEMORY, SEAM_RANGE, Topology};
pub use services::{Lp, Msrs, Next, Platform, Registers, ServiceFault};
pub use sites::{Service, Site, Sites};
pub use sizes::Sizes;
pub use vmcs::{Vmcs, field};

#[cfg(feature = "cpu")]
pub use conformance::{Conformance, ConformanceError, Options};
#[cfg(feature = "cpu")]
pub use cpu::{Code, CodeSubject, Machine, MachineError, Stopped};
