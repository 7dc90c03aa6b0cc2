//! Linux's update: from a kernel's image to the section that is explored.

mod begun;
mod boot;
mod entry;
mod lock;
mod pending_loop;
mod standing;
mod subject;
mod uploader;

pub use entry::{Entry, Locking, Prepared, Setting, prepare};
pub use lock::LockProof;
pub(crate) use lock::prove_lock;
pub use subject::Subject;
