//! Boot once, restore ever after: what a snapshot is, and which belongs to a run.

pub(crate) mod boot_config;
pub(crate) mod inputs;
pub(crate) mod note;
pub(crate) mod saved;
