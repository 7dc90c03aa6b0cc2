//! Changing the machine: `rig hw update` and `rig hw stress`, which is updates one after another beneath loads.
//!
//! Nothing is changed without `--yes`. Before that everything is looked at that could stand in the way, and said. With it the lock
//! is taken first, then the host is looked at, and it is looked at again at the last moment before each update.

mod evidence;
mod permission;
mod plan;
mod prepare;
mod recording;
mod run;
mod story;
#[cfg(test)]
mod tests;

pub use permission::{UploadRefusal, may_upload};
pub use plan::{Image, Plan, plan};
pub use prepare::make;

use std::path::PathBuf;
use std::time::Duration;

/// What is to be done, and what may be done for it.
#[derive(Clone, Debug, Default, PartialEq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own")]
pub struct Request {
    /// The command's name: `update` or `stress`.
    pub what: &'static str,
    /// The image's file.
    pub image: Option<PathBuf>,
    /// The version to go to; with `image`: the version that it is.
    pub to: Option<crate::version::Version>,
    /// The mapping file, with images beside it.
    pub mapping: Option<PathBuf>,
    /// Updates to make, at most.
    pub updates: u32,
    /// No update begins later than this.
    pub within: Option<Duration>,
    /// Loads beside the updates.
    pub loads: Vec<String>,
    /// Change the machine; else only say what would be done.
    pub yes: bool,
    /// Although trust domains run.
    pub with_tds: bool,
    /// Use up the last remaining update.
    pub last: bool,
    /// Although a condition or a rule is against it.
    pub force: bool,
    /// Although nothing is observed.
    pub blind: bool,
    /// Folder for the evidence.
    pub out: Option<PathBuf>,
}
