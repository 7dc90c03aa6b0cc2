//! Numbers and layouts of the SEAM ABI, each with its source.
//!
//! Sources: "P-SEAMLDR" is the public loader 1.5.02 (intel/tdx-loader, MIT), "TDX module" the public module 1.5.01
//! (intel/tdx-module), "Linux" is Linux 7.3's `arch/x86/virt/vmx/tdx/`. The documents behind them are Intel's SEAM
//! Loader Interface Specification (343755) and TDX Module Base Architecture Specification (348549).

pub mod blob;
mod cpuid_config;
pub mod field;
pub mod leaf;
pub mod seamldr;
pub mod sigstruct;
pub mod status;
pub mod td_params;
pub mod tdmr;

pub use cpuid_config::CpuidConfig;
pub use leaf::Leaf;
pub use status::Status;

/// Bytes per page, of images and of memory.
pub const PAGE_SIZE: u64 = 4096;

/// SHA-384 digest.
pub type Digest = [u8; 48];
