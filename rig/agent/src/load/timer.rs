//! Periodic timers, one on each CPU.

use super::profile::Step;
use crate::failure;
use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::unistd::Pid;
use rig_wire::agent::Failure;
use std::thread;
use std::time::{Duration, Instant};

/// One thread for each CPU that is online now.
pub(super) fn steps(period_us: u32) -> Result<Vec<Step>, Failure> {
    if period_us == 0 {
        return Err(failure::refused(libc::EINVAL, "a timer with a period of 0 µs"));
    }
    let period = Duration::from_micros(period_us.into());
    let allowed = sched_getaffinity(Pid::from_raw(0)).map_err(|e| failure::from_errno("ask for the CPUs", e))?;
    let cpus = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    Ok(cpus
        .map(|cpu| -> Step {
            let mut timer = Timer { cpu, period, due: None };
            Box::new(move || timer.wait())
        })
        .collect())
}

/// A timer on one CPU.
struct Timer {
    cpu: usize,
    period: Duration,
    /// When it is due next; none before the thread is bound to its CPU.
    due: Option<Instant>,
}

impl Timer {
    /// Waits for the next expiry. One operation; periods that passed meanwhile are not made up for.
    fn wait(&mut self) -> Result<u64, String> {
        let due = match self.due {
            Some(due) => due,
            None => self.bind()?,
        };
        thread::sleep(due.saturating_duration_since(Instant::now()));
        self.due = Some((due + self.period).max(Instant::now()));
        Ok(1)
    }

    fn bind(&self) -> Result<Instant, String> {
        let mut set = CpuSet::new();
        let bound = set.set(self.cpu).and_then(|()| sched_setaffinity(Pid::from_raw(0), &set));
        bound.map_err(|errno| {
            // Not at full speed: the next attempt fails too until the CPU is back.
            thread::sleep(self.period);
            format!("bind a thread to CPU {}: {}", self.cpu, errno.desc())
        })?;
        Ok(Instant::now() + self.period)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_keep_its_period() {
        let started = Instant::now();
        let mut steps = steps(2000).unwrap();
        for _ in 0..5 {
            assert_eq!(steps[0](), Ok(1));
        }
        assert!(started.elapsed() >= Duration::from_millis(10));
    }

    #[test]
    fn cannot_run_on_a_cpu_that_is_not_there() {
        let mut timer = Timer { cpu: CpuSet::count() - 1, period: Duration::from_micros(1), due: None };
        assert!(timer.wait().unwrap_err().contains("bind"));
    }
}
