//! Why the observer wants the run to end.

use rig_judge::Breach;

/// Why the observer wants the run to end.
#[derive(Clone, Debug)]
pub(crate) enum Alarm {
    /// An invariant is broken.
    Breach(Box<Breach>),
    /// Events were lost, or cannot be kept, or the host took the machine's time: nothing can be said of the subject.
    Lost(String),
    /// The guest does one thing without end.
    Hung(String),
}
