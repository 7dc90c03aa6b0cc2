//! Periodic timers, one on each CPU.

use super::work::Step;
use crate::{cpu, failure};
use rig_wire::agent::Failure;
use std::thread;
use std::time::{Duration, Instant};

/// One thread for each CPU that is online now.
pub(super) fn steps(period_us: u32) -> Result<Vec<Step>, Failure> {
    if period_us == 0 {
        return Err(failure::refused(libc::EINVAL, "a timer with a period of 0 µs"));
    }
    let period = Duration::from_micros(period_us.into());
    let cpus = cpu::online().map_err(|why| failure::refused(libc::EIO, why))?;
    Ok(cpus
        .into_iter()
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
        // Not at full speed: the next attempt fails too until the CPU is back.
        cpu::bind(self.cpu).inspect_err(|_| thread::sleep(self.period))?;
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
        let mut timer = Timer { cpu: nix::sched::CpuSet::count() - 1, period: Duration::from_micros(1), due: None };
        assert!(timer.wait().unwrap_err().contains("bind"));
    }
}
