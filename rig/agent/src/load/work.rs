//! What a load does: steps that its threads repeat, and what it has to say at its end.

use super::tally::Tally;
use rig_wire::agent::Chain;

/// What one thread repeats: one attempt each time, giving the number of operations it was worth or why it failed.
pub(super) type Step = Box<dyn FnMut() -> Result<u64, String> + Send>;

/// What a load does when its threads have ended; failures go to the tally.
pub(super) type Finish = Box<dyn FnOnce(&Tally) -> Last + Send>;

/// What a load has to say beyond its tally.
#[derive(Default)]
pub(super) struct Last {
    /// Counts by name.
    pub(super) counts: Vec<(String, u64)>,
    /// The hash chains that scripted virtual CPUs reported.
    pub(super) chains: Vec<Chain>,
}

/// All that a load does.
pub(super) struct Work {
    /// One for each thread.
    pub(super) steps: Vec<Step>,
    /// At the end, once.
    pub(super) finish: Option<Finish>,
}

/// The same step for so many threads.
pub(super) fn repeat(threads: u32, step: impl Fn() -> Step) -> Vec<Step> {
    (0..threads).map(|_| step()).collect()
}
