//! Why a run ends.

use super::drive::DriveError;
use super::observer::Alarm;
use crate::machine::Exit;

/// Why a run ended.
#[derive(Debug)]
pub(crate) enum Stop {
    /// All was done and the machine is off.
    Finished,
    /// The observer wants the end.
    Alarm(Alarm),
    /// No progress.
    Stalled(String),
    /// QEMU ended although nobody asked it to.
    Exited(Exit),
    /// The scenario could not go on.
    Drive(DriveError),
    /// A person wants the end.
    Interrupted,
}
