//! Linux's update: from a kernel's image to the section that is explored.

mod boot;
mod entry;
mod lock;
mod pending_loop;
mod uploader;

pub use entry::{Entry, Locking, Prepared, Setting, prepare};
pub use lock::LockProof;
pub(crate) use lock::prove_lock;
