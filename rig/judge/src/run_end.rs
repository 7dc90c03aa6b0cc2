//! How a run ends.

/// How a run came to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RunEnd {
    /// All that the scenario asked for was done, and its outcome read back.
    Finished,
    /// The rig stopped the run at the first breach, or the user did.
    Stopped,
    /// The guest made no progress within its budget.
    Hung {
        /// What the rig was waiting for, in one line.
        what: String,
    },
    /// The guest's kernel crashed.
    Crashed {
        /// What the console says, in one line.
        what: String,
    },
    /// Events were lost or the emulator died, so that nothing can be said of the subject.
    Lost {
        /// Why, in one line.
        cause: String,
    },
}
