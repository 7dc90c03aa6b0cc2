//! What the host's scheduler says of a process: how long its threads ran, and how long they waited for a core.

use nix::unistd::Pid;
use std::fs;

/// A process to ask about. It may have ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gauge(Pid);

/// All its threads together, since each of them began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// CPU time, milliseconds.
    pub ran_ms: u64,
    /// Time in which they were to run and had no core, milliseconds; 0 where the host's kernel does not count it.
    pub waited_ms: u64,
    /// The process was stopped (SIGSTOP, or a debugger).
    pub stopped: bool,
}

impl Gauge {
    /// For the process with this id.
    pub fn new(pid: Pid) -> Self {
        Self(pid)
    }

    /// What is known now; none: the process is gone.
    pub fn read(self) -> Option<Usage> {
        let folder = format!("/proc/{}", self.0);
        let stat = fs::read_to_string(format!("{folder}/stat")).ok()?;
        let times = fs::read_dir(format!("{folder}/task")).ok()?.flatten();
        // A thread that has ended meanwhile counts for nothing.
        let times = times.filter_map(|thread| times_of(&fs::read_to_string(thread.path().join("schedstat")).ok()?));
        let (ran_ns, waited_ns) = times.fold((0, 0), |sum: (u64, u64), one| (sum.0 + one.0, sum.1 + one.1));
        let stopped = is_stopped(&stat);
        Some(Usage { ran_ms: ran_ns / 1_000_000, waited_ms: waited_ns / 1_000_000, stopped })
    }
}

/// Nanoseconds on a core and in a queue for one (`schedstat` of the kernel's `Documentation/scheduler/sched-stats.rst`).
fn times_of(schedstat: &str) -> Option<(u64, u64)> {
    let mut fields = schedstat.split_ascii_whitespace().map(str::parse);
    Some((fields.next()?.ok()?, fields.next()?.ok()?))
}

/// Whether the state of a line of `/proc/PID/stat` is T or t (`proc_pid_stat(5)`).
fn is_stopped(stat: &str) -> bool {
    stat.rsplit_once(')').is_some_and(|(_, rest)| matches!(rest.trim_start().as_bytes().first(), Some(b'T' | b't')))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_and_states_are_read() {
        assert_eq!(times_of("2500000 1000000 7\n"), Some((2_500_000, 1_000_000)));
        assert_eq!(times_of(""), None);
        for (state, stopped) in [("T", true), ("t", true), ("S", false), ("R", false)] {
            assert_eq!(is_stopped(&format!("42 (a ) T b) {state} 1 2")), stopped, "{state}");
        }
    }

    #[test]
    fn this_process_is_there_and_runs() {
        let gauge = Gauge::new(Pid::this());
        let before = gauge.read().unwrap();
        let start = std::time::Instant::now();
        while start.elapsed() < std::time::Duration::from_millis(200) {
            std::hint::spin_loop();
        }
        let after = gauge.read().unwrap();
        assert!(
            !after.stopped && after.ran_ms + after.waited_ms > before.ran_ms + before.waited_ms,
            "{before:?} {after:?}"
        );
    }
}
