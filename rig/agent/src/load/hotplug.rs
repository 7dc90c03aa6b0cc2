//! CPUs that go offline and come back.

use super::profile::Step;
use crate::{failure, update};
use rig_wire::agent::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::MutexGuard;
use std::thread;
use std::time::Duration;

pub(super) const CPUS: &str = "/sys/devices/system/cpu";

/// One thread that switches all CPUs that can go offline, in turn. CPU 0 never does. With `between_updates` no update
/// begins while one is offline.
pub(super) fn steps(pause_ms: u32, between_updates: bool) -> Result<Vec<Step>, Failure> {
    let switches = switches(Path::new(CPUS));
    if switches.is_empty() {
        return Err(failure::refused(libc::ENODEV, "no CPU of this machine can go offline"));
    }
    let mut storm = Storm { switches, next: 0, offline: None, pause: Duration::from_millis(pause_ms.into()) };
    if !between_updates {
        return Ok(vec![Box::new(move || storm.switch_one())]);
    }
    Ok(vec![Box::new(move || storm.switch_there_and_back(&update::keep_away()))])
}

/// The `online` files of all CPUs but CPU 0, in order of their numbers.
pub(super) fn switches(cpus: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(cpus).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let mut numbers: Vec<u32> = names.filter_map(|name| name.to_str()?.strip_prefix("cpu")?.parse().ok()).collect();
    numbers.sort_unstable();
    let switches = numbers.into_iter().filter(|n| *n != 0).map(|n| cpus.join(format!("cpu{n}/online")));
    switches.filter(|switch| switch.exists()).collect()
}

/// The state of the storm: at most one CPU is offline because of it.
struct Storm {
    switches: Vec<PathBuf>,
    next: usize,
    offline: Option<PathBuf>,
    pause: Duration,
}

impl Storm {
    /// Brings back the CPU that is offline, or takes the next one offline. One operation.
    fn switch_one(&mut self) -> Result<u64, String> {
        thread::sleep(self.pause);
        if let Some(cpu) = self.offline.clone() {
            switch(&cpu, "1")?;
            self.offline = None;
            return Ok(1);
        }
        let cpu = self.switches[self.next].clone();
        self.next = (self.next + 1) % self.switches.len();
        switch(&cpu, "0")?;
        self.offline = Some(cpu);
        Ok(1)
    }
}

impl Storm {
    /// Takes the next CPU offline and brings it back, while no update is under way. Two operations.
    fn switch_there_and_back(&mut self, _no_update: &MutexGuard<'_, ()>) -> Result<u64, String> {
        Ok(self.switch_one()? + self.switch_one()?)
    }
}

impl Drop for Storm {
    /// Leaves no CPU offline.
    fn drop(&mut self) {
        if let Some(cpu) = self.offline.take()
            && let Err(error) = switch(&cpu, "1")
        {
            crate::console::say(&format!("a CPU stays offline: {error}"));
        }
    }
}

pub(super) fn switch(cpu: &Path, to: &str) -> Result<(), String> {
    fs::write(cpu, to).map_err(|e| format!("write {to} to {}: {e}", cpu.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn machine(cpus: u32) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for n in 0..cpus {
            fs::create_dir(folder.path().join(format!("cpu{n}"))).unwrap();
            if n != 0 {
                fs::write(folder.path().join(format!("cpu{n}/online")), "1").unwrap();
            }
        }
        fs::create_dir(folder.path().join("cpufreq")).unwrap();
        folder
    }

    fn online(machine: &tempfile::TempDir, cpu: u32) -> String {
        fs::read_to_string(machine.path().join(format!("cpu{cpu}/online"))).unwrap()
    }

    #[test]
    fn can_switch_cpus_in_turn_and_leaves_them_online() {
        let machine = machine(3);
        let mut storm = Storm { switches: switches(machine.path()), next: 0, offline: None, pause: Duration::ZERO };
        let mut seen = Vec::new();
        for _ in 0..5 {
            storm.switch_one().unwrap();
            seen.push((online(&machine, 1), online(&machine, 2)));
        }
        let seen: Vec<_> = seen.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        assert_eq!(seen, [("0", "1"), ("1", "1"), ("1", "0"), ("1", "1"), ("0", "1")]);
        drop(storm);
        assert_eq!(online(&machine, 1), "1");
    }

    #[test]
    fn between_updates_no_cpu_stays_offline() {
        let machine = machine(2);
        let mut storm = Storm { switches: switches(machine.path()), next: 0, offline: None, pause: Duration::ZERO };
        assert_eq!(storm.switch_there_and_back(&update::keep_away()), Ok(2));
        assert_eq!((online(&machine, 1).as_str(), storm.offline.is_none()), ("1", true));
    }

    #[test]
    fn cannot_switch_cpu_0_or_what_is_no_cpu() {
        assert!(switches(machine(1).path()).is_empty());
    }

    #[test]
    fn cannot_switch_a_cpu_that_is_gone() {
        let machine = machine(2);
        let switches = switches(machine.path());
        fs::remove_dir_all(machine.path().join("cpu1")).unwrap();
        let mut storm = Storm { switches, next: 0, offline: None, pause: Duration::ZERO };
        assert!(storm.switch_one().unwrap_err().contains("cpu1/online"));
    }
}
