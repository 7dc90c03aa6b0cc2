//! Linux's update: from a kernel's image to the section that is explored.

mod boot;
mod entry;
mod pending_loop;
mod uploader;

pub use entry::{Entry, Prepared, Setting, prepare};
