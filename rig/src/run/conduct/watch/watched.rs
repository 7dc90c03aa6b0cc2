//! The watching of a machine that finds out whether it makes progress.

use super::bound::Bound;
use super::stall::{Sample, Stall, StallBudget, StallWatch};
use crate::guest::Guest;
use crate::machine::Machine;
use crate::milliseconds::milliseconds;
use crate::run::conduct::observer::{Alarm, Observer};
use crate::run::conduct::stop::Stop;
use rig_wire::task::BlockedTask;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How often progress is looked at.
const LOOK: Duration = Duration::from_millis(200);
/// How many looks there are for one at each of QEMU's threads, which may be hundreds.
const LOOKS_AT_THREADS: u64 = 5;
/// How long the agent of a guest whose CPUs sleep may take to report what its tasks wait for.
const ANSWERS_WITHIN: Duration = Duration::from_secs(5);
/// A task that waits at the same place after so long waits for more than a moment.
const AGAIN_AFTER: Duration = Duration::from_secs(2);
/// Tasks that are named in one line.
const NAMED: usize = 4;

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
    /// What the run may leave behind.
    pub(crate) evidence: Bound,
    /// When QEMU was started.
    pub(crate) started: Instant,
}

impl Watched<'_> {
    /// Waits until the machine makes no progress, or leaves more behind than it may; says why it is to end.
    pub(crate) async fn stalled(&self, budget: StallBudget) -> Stop {
        let mut watch = StallWatch::new(budget);
        let mut waited_ms = 0;
        for look in 0_u64.. {
            tokio::time::sleep(LOOK).await;
            if look.is_multiple_of(LOOKS_AT_THREADS) {
                waited_ms = self.machine.process.gauge().read().map_or(waited_ms, |usage| usage.waited_ms);
            }
            if let Some(cause) = self.evidence.exceeded() {
                return Stop::Alarm(Alarm::Lost(cause));
            }
            match self.sample(waited_ms).and_then(|sample| watch.observe(sample)) {
                Some(Stall::Hung(what)) => return Stop::Stalled(what),
                Some(Stall::Starved(cause)) => return Stop::Alarm(Alarm::Lost(cause)),
                Some(Stall::Asleep(ms)) => {
                    if let Some(what) = self.ask_sleeper(ms).await {
                        return Stop::Stalled(what);
                    }
                }
                None => {}
            }
        }
        unreachable!("nobody looks so often")
    }

    /// The guest's CPUs have slept for so long. Asks twice what its tasks wait for; in one line what it hangs in, if it does.
    async fn ask_sleeper(&self, slept_ms: u64) -> Option<String> {
        if !self.guest.is_ready() || self.machine.monitors.is_none() {
            return None;
        }
        let before = self.progress();
        let first = self.guest.blocked_tasks(ANSWERS_WITHIN).await;
        tokio::time::sleep(AGAIN_AFTER).await;
        let again = if first.is_some() { self.guest.blocked_tasks(ANSWERS_WITHIN).await } else { None };
        if self.progress() != before {
            return None;
        }
        deadlock(slept_ms, first.as_deref(), again.as_deref())
    }

    /// None when QEMU is gone, which is no stall.
    fn sample(&self, waited_ms: u64) -> Option<Sample> {
        let (progress, answers) = self.progress();
        Some(Sample {
            progress,
            answers,
            cpu_ms: self.machine.process.cpu_ms()?,
            waited_ms,
            wall_ms: milliseconds(self.started.elapsed()),
        })
    }

    /// What grows with the guest's progress, and the agent's messages.
    fn progress(&self) -> (u64, u64) {
        let console = std::fs::metadata(self.console).map_or(0, |m| m.len());
        let progress = self.observer.progress() + self.kernel_lines.load(Ordering::Relaxed) + console;
        (progress, self.guest.answers())
    }
}

/// In one line, what a guest whose CPUs sleep hangs in, by two reports of its agent; none: no task of it waits without end.
fn deadlock(slept_ms: u64, first: Option<&[BlockedTask]>, again: Option<&[BlockedTask]>) -> Option<String> {
    let slept = format!("no progress for {} s, in which the guest's CPUs slept", slept_ms / 1000);
    let (Some(first), Some(again)) = (first, again) else {
        return Some(format!("{slept}; its agent does not answer"));
    };
    let blocked: Vec<&BlockedTask> = again.iter().filter(|task| first.contains(task)).collect();
    let place = |task: &&BlockedTask| match task.stack.first() {
        Some(place) => format!("{} in {place}", task.name),
        None => task.name.clone(),
    };
    let named: Vec<String> = blocked.iter().take(NAMED).map(place).collect();
    let more = if blocked.len() > NAMED { ", ..." } else { "" };
    let tasks = if blocked.len() == 1 { "1 task is".to_owned() } else { format!("{} tasks are", blocked.len()) };
    (!blocked.is_empty()).then(|| format!("{slept}, and {tasks} blocked: {}{more}", named.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(id: u32, name: &str, place: &str) -> BlockedTask {
        BlockedTask { id, name: name.into(), stack: vec![place.into(), "kthread+0x1/0x2".into()] }
    }

    #[test]
    fn a_task_that_waits_at_one_place_is_a_deadlock() {
        let tasks = [task(30, "kworker/u8:1", "__wait_for_common+0xa1/0x160"), task(1, "agent", "mutex_lock+0x3/0x9")];
        let what = deadlock(20_400, Some(&tasks), Some(&tasks)).unwrap();
        assert!(
            what.contains("20 s") && what.contains("2 tasks are blocked: kworker/u8:1 in __wait_for_common"),
            "{what}"
        );
    }

    #[test]
    fn tasks_that_come_and_go_are_none() {
        let (first, again) =
            ([task(30, "a", "read+0x1/0x2")], [task(30, "a", "write+0x1/0x2"), task(31, "b", "x+0x1/0x2")]);
        assert_eq!(deadlock(20_000, Some(&first), Some(&again)), None);
        assert_eq!(deadlock(20_000, Some(&[]), Some(&[])), None, "who only waits for input is not blocked");
    }

    #[test]
    fn an_agent_that_does_not_answer_is_one() {
        assert!(deadlock(20_000, None, None).unwrap().contains("does not answer"));
        assert!(deadlock(20_000, Some(&[]), None).is_some());
    }
}
