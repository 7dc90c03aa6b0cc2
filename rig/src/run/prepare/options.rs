//! What the command line adds to a scenario.

use std::path::PathBuf;
use std::time::Duration;

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
    /// Leave the machine stopped where an invariant breaks or it hangs.
    pub at_breach: Option<AtBreach>,
    /// A socket to which the machine connects a terminal of the guest; none: it has none.
    pub terminal: Option<PathBuf>,
    /// Log single instructions.
    pub instructions: Option<LoggedFunctions>,
}

/// How long a machine is left stopped for a person.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AtBreach {
    /// So long at most; none: until the person ends it.
    pub keep: Option<Duration>,
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
