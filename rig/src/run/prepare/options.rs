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
    /// Log single instructions.
    pub instructions: Option<LoggedFunctions>,
}

/// The instructions of which functions are logged, and where to ([`rig_wire::instructions`]).
#[derive(Clone, Debug)]
pub struct LoggedFunctions {
    /// The file.
    pub file: PathBuf,
    /// The function with which an LP's log begins and ends.
    pub first: String,
    /// The other functions.
    pub others: Vec<String>,
}
