//! CPUs that go offline and come back.

use super::place::Place;
use super::work::Step;
use crate::failure;
use crate::gate::Closed;
use crate::machine::Machine;
use rig_wire::agent::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

pub(super) const CPUS: &str = "/sys/devices/system/cpu";
/// A CPU that does not come back is asked for so often ...
const TRIES: u32 = 10;
/// ... with this pause: the kernel refuses hotplug for moments only (EBUSY), or until memory is free (ENOMEM).
const TRY_PAUSE: Duration = Duration::from_millis(20);

/// One thread that switches all CPUs that can go offline, in turn. CPU 0 never does. With `between_updates` no update
/// begins while one is offline.
pub(super) fn steps(place: &Place, pause_ms: u32, between_updates: bool) -> Result<Vec<Step>, Failure> {
    let switches = switches(&place.machine.path(CPUS));
    if switches.is_empty() {
        return Err(failure::refused(libc::ENODEV, "no CPU of this machine can go offline"));
    }
    let mut storm = Storm::new(place, switches, Duration::from_millis(pause_ms.into()));
    if !between_updates {
        return Ok(vec![Box::new(move || storm.switch_one())]);
    }
    Ok(vec![Box::new(move || storm.there_and_back())])
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
    place: Place,
    switches: Vec<PathBuf>,
    next: usize,
    offline: Option<PathBuf>,
    pause: Duration,
}

impl Storm {
    fn new(place: &Place, switches: Vec<PathBuf>, pause: Duration) -> Self {
        Self { place: place.clone(), switches, next: 0, offline: None, pause }
    }

    /// Brings back the CPU that is offline, or takes the next one offline. One operation.
    fn switch_one(&mut self) -> Result<u64, String> {
        thread::sleep(self.pause);
        if let Some(cpu) = self.offline.clone() {
            set(&self.place.machine, &cpu, "1")?;
            self.offline = None;
            return Ok(1);
        }
        let cpu = self.next_cpu();
        set(&self.place.machine, &cpu, "0")?;
        self.offline = Some(cpu);
        Ok(1)
    }

    /// Takes the next CPU offline and brings it back, while no update is under way. Two operations. One that did not come back
    /// before is brought back first, and no other leaves before it is.
    fn there_and_back(&mut self) -> Result<u64, String> {
        thread::sleep(self.pause);
        let place = self.place.clone();
        let mut gate = place.gate.close();
        if let Some(cpu) = self.offline.clone() {
            Away { machine: &place.machine, gate: &mut gate, offline: &mut self.offline, cpu }.back()?;
        }
        let cpu = self.next_cpu();
        set(&place.machine, &cpu, "0")?;
        self.offline = Some(cpu.clone());
        let away = Away { machine: &place.machine, gate: &mut gate, offline: &mut self.offline, cpu };
        thread::sleep(self.pause);
        away.back().map(|()| 2)
    }

    fn next_cpu(&mut self) -> PathBuf {
        let cpu = self.switches[self.next].clone();
        self.next = (self.next + 1) % self.switches.len();
        cpu
    }
}

impl Drop for Storm {
    /// Leaves no CPU offline.
    fn drop(&mut self) {
        let Some(cpu) = self.offline.clone() else { return };
        let place = self.place.clone();
        drop(Away { machine: &place.machine, gate: &mut place.gate.close(), offline: &mut self.offline, cpu });
        if let Some(cpu) = &self.offline {
            crate::console::say(&format!("a CPU stays offline: {}", cpu.display()));
        }
    }
}

/// A CPU that is offline because of a load. It comes back when this is dropped, on whatever way; if it does not, the gate stays
/// closed to updates until it has.
struct Away<'a, 'g> {
    machine: &'a Machine,
    gate: &'a mut Closed<'g>,
    /// The storm's own note of it.
    offline: &'a mut Option<PathBuf>,
    cpu: PathBuf,
}

impl Away<'_, '_> {
    /// Brings it back. If that fails at first it is tried again, and the load's report has the error in any case.
    fn back(mut self) -> Result<(), String> {
        self.ask()
    }

    fn ask(&mut self) -> Result<(), String> {
        set(self.machine, &self.cpu, "1")?;
        *self.offline = None;
        self.gate.is_back(&self.cpu);
        Ok(())
    }
}

impl Drop for Away<'_, '_> {
    fn drop(&mut self) {
        for _ in 0..TRIES {
            if self.offline.is_none() {
                return;
            }
            if let Err(error) = self.ask() {
                self.gate.is_missing(&self.cpu, format!("a load took a CPU offline and cannot bring it back: {error}"));
                thread::sleep(TRY_PAUSE);
            }
        }
    }
}

/// Writes to the `online` file of a CPU, and sees that the kernel did so.
fn set(machine: &Machine, cpu: &Path, to: &str) -> Result<(), String> {
    machine.write(cpu, to.as_bytes()).map_err(|e| format!("write {to} to {}: {e}", cpu.display()))?;
    let is = fs::read_to_string(cpu).map_err(|e| format!("read {}: {e}", cpu.display()))?;
    if is.trim() == to {
        Ok(())
    } else {
        Err(format!("{} is {}, not {to}, after {to} was written", cpu.display(), is.trim()))
    }
}

/// The same on this machine.
pub(super) fn switch(cpu: &Path, to: &str) -> Result<(), String> {
    fs::write(cpu, to).map_err(|e| format!("write {to} to {}: {e}", cpu.display()))
}

#[cfg(test)]
mod tests;
