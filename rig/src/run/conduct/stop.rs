//! Why a run ends.

use super::observer::Alarm;
use super::steps::StepError;
use crate::machine::QemuExit;

/// Why a run ended.
#[derive(Debug)]
pub(crate) enum Stop {
    /// All was done and the machine is off.
    Finished,
    /// The observer raised an alarm.
    Alarm(Alarm),
    /// No progress.
    Stalled(String),
    /// QEMU ended without an order to do so.
    Exited(QemuExit),
    /// A step of the scenario failed.
    Step(StepError),
    /// A person interrupted the run.
    Interrupted,
}
