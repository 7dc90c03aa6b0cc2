//! Machine code of trust domains, on a processor with AMD's SVM and nested paging in place of VMX: the pure part.
//!
//! TCG emulates SVM, so a TD's vCPU can run there as an SVM guest. This crate knows how such a guest is described to the
//! processor ([`vmcb`], [`npt`], [`permissions`], [`reset`]), what made it exit ([`exit`]), and what a TDX module does then
//! ([`serve`], [`tdcall`]). It touches no memory but what it is handed, and knows nothing of QEMU.
//!
//! Sources: "APM" is AMD's Architecture Programmer's Manual, volume 2; "SDM" is Intel's Software Developer's Manual, volume 3;
//! "ABI" is Intel's TDX Module ABI specification.

pub mod apic;
pub mod event;
pub mod exit;
pub mod hidden;
pub mod npt;
pub mod permissions;
pub mod reset;
pub mod serve;
pub mod td;
pub mod tdcall;
pub mod vcpu;
pub mod ve;
pub mod vmcb;
