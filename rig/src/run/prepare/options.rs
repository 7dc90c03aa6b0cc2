//! What the command line adds to a scenario.

use std::path::PathBuf;

/// What the command line adds to a scenario.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Run folder; none: one under `runs/`.
    pub out: Option<PathBuf>,
    /// A QEMU of the user's own.
    pub qemu: Option<PathBuf>,
    /// Keep the large files of a run that passed.
    pub keep: bool,
    /// Record no events, so that nothing is judged: for measuring what recording costs.
    pub no_events: bool,
    /// Boot, even where a snapshot would do.
    pub cold: bool,
}
