//! A CPU that comes online just as an update begins.
//!
//! It is offline when the image has been handed over, and on its way up, under the kernel's hotplug lock, when the
//! kernel gets the order to begin. An update that takes that lock first meets all CPUs; one that chooses its CPUs
//! before misses the newcomer.

use super::hotplug;
use super::work::Step;
use crate::failure;
use crate::prelude::Prelude;
use rig_wire::agent::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

/// How often a waiting thread looks whether the load is to end.
const LOOK: Duration = Duration::from_millis(20);
/// Within this time the kernel begins to bring up a CPU that it was asked for; a prelude waits no longer.
const BEGINS_WITHIN: Duration = Duration::from_secs(5);
/// What `hotplug/state` says of a CPU that the kernel has not begun to bring up (`CPUHP_OFFLINE`, `include/linux/cpuhotplug.h`).
const OFFLINE: &str = "0";

/// One thread, which brings back what the prelude of each update takes offline: all CPUs but CPU 0, in turn.
pub(super) fn steps() -> Result<Vec<Step>, Failure> {
    let cpus = hotplug::switches(Path::new(hotplug::CPUS));
    if cpus.is_empty() {
        return Err(failure::refused(libc::ENODEV, "no CPU of this machine can go offline"));
    }
    let (departures, departed) = mpsc::sync_channel(1);
    let mut next = cpus.into_iter().cycle();
    let prelude = Prelude::before_each_update(move || {
        depart(&next.next().expect("a cycle has no end"), &departures, BEGINS_WITHIN);
    });
    Ok(vec![Box::new(move || bring_back(&prelude, &departed))])
}

/// Takes the CPU of this `online` file offline, has it brought back, and waits until that is under way. A failure is reported to
/// who brings it back; the update goes on in any case.
fn depart(cpu: &Path, departures: &SyncSender<Result<PathBuf, String>>, limit: Duration) {
    let gone = hotplug::switch(cpu, "0").map(|()| cpu.to_owned());
    let is_gone = gone.is_ok();
    if departures.send(gone).is_ok() && is_gone {
        let started = Instant::now();
        while !is_under_way(cpu) && started.elapsed() < limit {
            thread::yield_now();
        }
    }
}

fn is_under_way(cpu: &Path) -> bool {
    let state = cpu.with_file_name("hotplug").join("state");
    fs::read_to_string(state).is_ok_and(|state| state.trim() != OFFLINE)
}

/// Waits for the next departure and brings that CPU back, which is worth two operations; none when none comes for a while.
fn bring_back(_while_registered: &Prelude, departed: &Receiver<Result<PathBuf, String>>) -> Result<u64, String> {
    match departed.recv_timeout(LOOK) {
        Ok(cpu) => hotplug::switch(&cpu?, "1").map(|()| 2),
        Err(RecvTimeoutError::Timeout) => Ok(0),
        Err(RecvTimeoutError::Disconnected) => unreachable!("the prelude, which sends, is registered"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A CPU whose state is as if it was on its way up already.
    fn machine(state: &str) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let cpu = folder.path().join("cpu1");
        fs::create_dir_all(cpu.join("hotplug")).unwrap();
        fs::write(cpu.join("hotplug/state"), state).unwrap();
        fs::write(cpu.join("online"), "1").unwrap();
        (folder, cpu.join("online"))
    }

    #[test]
    fn the_cpu_is_gone_when_the_prelude_ends_and_comes_back() {
        let (_folder, cpu) = machine("12\n");
        let (departures, departed) = mpsc::sync_channel(1);
        depart(&cpu, &departures, Duration::MAX);
        assert_eq!(fs::read_to_string(&cpu).unwrap(), "0");
        let prelude = Prelude::before_each_update(|| {});
        assert_eq!(bring_back(&prelude, &departed), Ok(2));
        assert_eq!(fs::read_to_string(&cpu).unwrap(), "1");
        assert_eq!(bring_back(&prelude, &departed), Ok(0), "nothing departed since");
    }

    #[test]
    fn a_cpu_that_does_not_come_up_delays_the_update_no_longer_than_the_limit() {
        let (_folder, cpu) = machine("0\n");
        let (departures, _departed) = mpsc::sync_channel(1);
        depart(&cpu, &departures, Duration::from_millis(1));
    }

    #[test]
    fn a_cpu_that_cannot_depart_is_an_error_of_the_load() {
        let (departures, departed) = mpsc::sync_channel(1);
        depart(Path::new("/no/such/cpu/online"), &departures, Duration::MAX);
        let prelude = Prelude::before_each_update(|| {});
        assert!(bring_back(&prelude, &departed).unwrap_err().contains("/no/such/cpu"));
    }
}
