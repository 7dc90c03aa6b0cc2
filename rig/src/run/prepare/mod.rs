//! From a scenario to everything that a run needs, made or found before a machine is started.

pub(super) mod assemble;
pub(super) mod backend;
mod client;
pub(super) mod guest_files;
pub(super) mod holds;
pub(super) mod hw;
mod kernel;
mod learn;
pub(super) mod load_modules;
pub(super) mod machine;
mod make;
mod manifest;
pub(super) mod options;
mod plan;
pub(super) mod prepared;
mod qemu;
pub(super) mod subject;
