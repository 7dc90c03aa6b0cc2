//! Reports of the kernel that say nothing of the kernel: what the host or the emulator did explains them.

use crate::host_time::{HostTime, Taken};
use rig_wire::event::HostCause;

/// The kernel's soft lockup detector reports after twice `watchdog_thresh`, which is 10 s.
const SOFT_LOCKUP_MS: u64 = 20_000;
/// `CONFIG_WQ_WATCHDOG` reports after `workqueue.watchdog_thresh`.
const WORKQUEUE_MS: u64 = 30_000;
/// `CONFIG_RCU_CPU_STALL_TIMEOUT`; the first line of the report does not say how long it was.
const RCU_STALL_MS: u64 = 21_000;
/// The hard lockup detector reports after `watchdog_thresh`.
const HARD_LOCKUP_MS: u64 = 10_000;

/// Parts of what a kernel says when RCU waited for too long.
const RCU_STALLS: [&str; 4] =
    ["self-detected stall", "detected stalls", "detected expedited stalls", "kthread starved for"];

/// A report of the kernel that something did not run for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Lockup {
    /// For how long.
    lasted_ms: u64,
    /// What the kernel tolerates.
    tolerated_ms: u64,
}

/// Why this line, which is a report of the kernel, says nothing of the kernel; none: it does.
pub(crate) fn explains(line: &str, host_time: &HostTime) -> Option<String> {
    if let Some(why) = emulators_defect(line) {
        return Some(format!("{why}: {}", line.trim()));
    }
    let lockup = Lockup::of(line)?;
    let taken = host_time.taken_within(lockup.lasted_ms);
    lockup.is_explained_by(taken.ms).then(|| words(line, lockup, taken))
}

/// Whether this line reports that something did not run for some time.
pub fn is_lockup(line: &str) -> bool {
    Lockup::of(line).is_some()
}

/// What QEMU's own defects look like from inside (docs/explanation/kvm.md), where one is seen in this line.
fn emulators_defect(line: &str) -> Option<&'static str> {
    // The kernel patches its code by way of INT3, and knows each one. A vCPU that runs what was translated before QEMU forgot it meets one that is gone.
    let unknown_breakpoint = line.contains("Oops: int3:");
    unknown_breakpoint.then_some(
        "the kernel died of a breakpoint that it does not know, as when QEMU runs a stale translation of patched code",
    )
}

fn words(line: &str, lockup: Lockup, taken: Taken) -> String {
    let s = |ms: u64| format!("{}.{} s", ms / 1000, ms % 1000 / 100);
    let how = match taken.cause {
        Some(HostCause::RigPaused) => "the whole rig was paused",
        Some(HostCause::QemuStopped) => "QEMU was stopped",
        Some(HostCause::Starved) | None => "its threads waited for a core",
    };
    let (lasted, took) = (s(lockup.lasted_ms), s(taken.ms));
    format!("of the last {lasted} the host took {took} from the machine ({how}), which explains: {}", line.trim())
}

impl Lockup {
    fn of(line: &str) -> Option<Self> {
        let stuck_ms = || number_behind(line, "stuck for ").map(|s| s.saturating_mul(1000));
        let (lasted_ms, tolerated_ms) = if line.contains("soft lockup") {
            (stuck_ms().unwrap_or(SOFT_LOCKUP_MS), SOFT_LOCKUP_MS)
        } else if line.contains("workqueue lockup") {
            (stuck_ms().unwrap_or(WORKQUEUE_MS), WORKQUEUE_MS)
        } else if line.contains("hard LOCKUP") {
            (HARD_LOCKUP_MS, HARD_LOCKUP_MS)
        } else if RCU_STALLS.iter().any(|phrase| line.contains(phrase)) {
            (RCU_STALL_MS, RCU_STALL_MS)
        } else {
            let ms = number_behind(line, "blocked for more than ")?.saturating_mul(1000);
            (ms, ms)
        };
        Some(Self { lasted_ms, tolerated_ms })
    }

    /// Whether the host took so much that nothing would have been reported without it, and at least half of the time.
    fn is_explained_by(self, taken_ms: u64) -> bool {
        taken_ms >= self.lasted_ms.div_ceil(2) && self.lasted_ms.saturating_sub(taken_ms) < self.tolerated_ms
    }
}

/// The number that follows these words.
fn number_behind(line: &str, words: &str) -> Option<u64> {
    let (_, rest) = line.split_once(words)?;
    let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
    rest[..digits].parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_wire::event::{Kind, Mark, Record};

    /// The host took `took_s` of each ten seconds of the last minutes.
    fn busy_host(took_s: u64) -> HostTime {
        let mut host_time = HostTime::default();
        for n in 1..60 {
            let (b, c, d) = (took_s * 1000, 10_000, HostCause::Starved as u64);
            let (kind, a, host_ns) = (Kind::Mark as u16, Mark::HostTook as u64, n * 10_000_000_000);
            host_time.observe(&Record { kind, a, b, c, d, host_ns, ..Record::default() });
        }
        host_time
    }

    const LOCKUP: &str = "[   28.0] watchdog: BUG: soft lockup - CPU#2 stuck for 26s! [migration/2:24]";

    #[test]
    fn a_lockup_on_a_starved_host_is_explained_and_says_by_what() {
        let why = explains(LOCKUP, &busy_host(8)).unwrap();
        assert!(why.contains("of the last 26.0 s the host took 20.8 s") && why.contains("CPU#2"), "{why}");
        for line in [
            "[ 21.1] rcu: INFO: rcu_preempt self-detected stall on CPU",
            "[ 21.1] rcu: rcu_preempt kthread starved for 2101 jiffies! g1 f0x0",
            "[130.0] INFO: task agent:1 blocked for more than 120 seconds.",
            "[ 40.0] BUG: workqueue lockup - pool cpus=0 node=0 flags=0x0 nice=0 stuck for 33s!",
        ] {
            assert!(explains(line, &busy_host(8)).is_some(), "{line}");
        }
    }

    #[test]
    fn a_lockup_is_not_explained_by_a_host_that_took_little() {
        for took_s in 0..5 {
            assert_eq!(explains(LOCKUP, &busy_host(took_s)), None, "{took_s}");
        }
        assert_eq!(explains(LOCKUP, &HostTime::default()), None);
    }

    #[test]
    fn a_lockup_that_outlasts_what_the_host_took_is_not_explained() {
        let long = LOCKUP.replace("26s", "48s");
        assert_eq!(explains(&long, &busy_host(5)), None, "24 s are left, and 20 are tolerated");
        assert!(explains(&long, &busy_host(6)).is_some());
    }

    #[test]
    fn half_of_the_time_must_be_the_hosts_and_what_is_left_below_what_is_tolerated() {
        let explained = |lasted_ms, taken_ms| Lockup { lasted_ms, tolerated_ms: 20_000 }.is_explained_by(taken_ms);
        assert_eq!((explained(26_000, 12_999), explained(26_000, 13_000)), (false, true));
        assert_eq!((explained(48_000, 28_000), explained(48_000, 28_001)), (false, true));
    }

    #[test]
    fn other_reports_are_never_explained_by_the_host() {
        for line in ["WARNING: CPU: 0 PID: 1 at x", "BUG: KASAN: use-after-free", "Kernel panic - not syncing: x"] {
            assert_eq!(explains(line, &busy_host(10)), None, "{line}");
        }
    }

    #[test]
    fn a_death_by_an_unknown_breakpoint_is_the_emulators() {
        let why = explains("[ 3.0] Oops: int3: 0000 [#1] SMP", &HostTime::default()).unwrap();
        assert!(why.contains("stale translation"), "{why}");
        assert_eq!(explains("[ 3.0] Oops: general protection fault: 0000 [#1] SMP", &HostTime::default()), None);
    }

    #[test]
    fn a_lockup_is_told_from_other_reports() {
        assert!(is_lockup(LOCKUP) && is_lockup("[130.0] INFO: task agent:1 blocked for more than 120 seconds."));
        assert!(!is_lockup("WARNING: CPU: 0 PID: 1 at x") && !is_lockup("[ 3.0] Oops: int3: 0000 [#1] SMP"));
    }
}
