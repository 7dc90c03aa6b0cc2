//! Linux's update: from a kernel's image to the section that is explored.

mod begun;
mod boot;
mod entry;
mod lock;
mod pending_loop;
mod setting;
mod standing;
mod subject;
mod uploader;

pub use entry::{Prepared, prepare};
pub use lock::LockProof;
pub(crate) use lock::prove_lock;
pub use setting::{Entry, Locking, Setting};
pub use subject::Subject;
