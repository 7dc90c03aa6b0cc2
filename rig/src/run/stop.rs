//! Why a run ends, and the watching that finds out.

use super::drive::DriveError;
use super::observer::{Alarm, Observer};
use super::stall::{Sample, StallBudget, StallWatch};
use crate::guest::Guest;
use crate::machine::{Exit, Machine};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

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

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What shows the progress of a machine.
pub(crate) struct Watched<'a> {
    /// The machine.
    pub(crate) machine: &'a Machine,
    /// The agent.
    pub(crate) guest: &'a Guest,
    /// The observer of its events.
    pub(crate) observer: &'a Observer,
    /// Kernel log lines so far.
    pub(crate) kernel_lines: &'a AtomicU64,
    /// The serial console's file.
    pub(crate) console: &'a Path,
    /// When QEMU was started.
    pub(crate) started: Instant,
}

impl Watched<'_> {
    /// Waits until the machine makes no progress; says what the stall is.
    pub(crate) async fn stalled(&self, budget: StallBudget) -> String {
        let mut watch = StallWatch::new(budget);
        loop {
            tokio::time::sleep(LOOK).await;
            if let Some(stall) = self.sample().and_then(|sample| watch.observe(sample)) {
                return stall;
            }
        }
    }

    /// None when QEMU is gone, which is no stall.
    fn sample(&self) -> Option<Sample> {
        let console = std::fs::metadata(self.console).map_or(0, |m| m.len());
        Some(Sample {
            progress: self.observer.progress() + self.kernel_lines.load(Ordering::Relaxed) + console,
            answers: self.guest.answers(),
            cpu_ms: self.machine.process.cpu_ms()?,
            wall_ms: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        })
    }
}
