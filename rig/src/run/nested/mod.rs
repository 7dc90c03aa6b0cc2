//! KVM where there is none: scenarios run by this very rig inside a virtual machine whose processor TCG emulates with AMD's
//! virtualisation. What runs in there are real guests of a real KVM.
//!
//! The outer machine has the host's files, read-only, with all changes in its own memory: the rig, its cache and QEMU are shared
//! and not copied.

mod inner;
mod lost;
mod outer;
mod run;
mod running;

pub use run::run_nested;
