//! The kernel's clock source, switched back and forth. `timekeeping_notify()` does it inside `stop_machine`, so this load
//! competes with updates for all CPUs.

use super::work::Step;
use crate::failure;
use crate::machine::Machine;
use rig_wire::agent::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";
/// Sources of the early boot, which the kernel does not go back to.
const EARLY: [&str; 3] = ["jiffies", "refined-jiffies", "tsc-early"];
/// The kernel offers the TSC a second after it began to calibrate it; so often the list is looked at ...
const LOOKS: u32 = 500;
/// ... with this pause.
const LOOK_PAUSE: Duration = Duration::from_millis(10);

/// One thread. Refused where the kernel has less than two clock sources.
pub(super) fn steps(machine: &Machine, pause_ms: u32) -> Result<Vec<Step>, Failure> {
    let folder = machine.path(FOLDER);
    let names = wait_for_two(&folder, LOOKS);
    if names.len() < 2 {
        return Err(failure::refused(
            libc::ENODEV,
            format_args!("one clock source only, {names:?}: nothing to switch"),
        ));
    }
    let current = folder.join("current_clocksource");
    let mut switch = Switch { machine: machine.clone(), original: read(&current), current, names, next: 0 };
    let pause = Duration::from_millis(pause_ms.into());
    Ok(vec![Box::new(move || {
        thread::sleep(pause);
        switch.advance()
    })])
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

/// The clock sources, when there are two to switch between or after so many looks.
fn wait_for_two(folder: &Path, looks: u32) -> Vec<String> {
    for _ in 1..looks {
        let names = available(folder);
        if names.len() > 1 {
            return names;
        }
        thread::sleep(LOOK_PAUSE);
    }
    available(folder)
}

fn available(folder: &Path) -> Vec<String> {
    let names = read(&folder.join("available_clocksource"));
    names.split_whitespace().filter(|name| !EARLY.contains(name)).map(str::to_owned).collect()
}

/// Goes through the clock sources in turn.
struct Switch {
    machine: Machine,
    current: PathBuf,
    original: String,
    names: Vec<String>,
    next: usize,
}

impl Switch {
    /// Switches to the next that is not in use. One operation.
    fn advance(&mut self) -> Result<u64, String> {
        let now = read(&self.current);
        self.next = (self.next + 1) % self.names.len();
        if self.names[self.next] == now {
            self.next = (self.next + 1) % self.names.len();
        }
        let name = &self.names[self.next];
        self.machine
            .write(&self.current, name.as_bytes())
            .map_err(|e| format!("switch to clock source {name}: {e}"))?;
        let now = read(&self.current);
        if now == *name { Ok(1) } else { Err(format!("the kernel took {now} for a clock source, not {name}")) }
    }
}

impl Drop for Switch {
    /// Leaves the clock source as it was.
    fn drop(&mut self) {
        let written = self.machine.write(&self.current, self.original.as_bytes());
        let now = read(&self.current);
        if now != self.original {
            let why = written.err().map_or_else(|| format!("the kernel took {now}"), |error| error.to_string());
            crate::console::say(&format!("the clock source is not {} again: {why}", self.original));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_switch_in_turn_and_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("available_clocksource"), "tsc acpi_pm tsc-early refined-jiffies\n").unwrap();
        let current = folder.path().join("current_clocksource");
        fs::write(&current, "tsc\n").unwrap();
        let names = available(folder.path());
        assert_eq!(names, ["tsc", "acpi_pm"]);
        let machine = Machine::new("/", |path, bytes| fs::write(path, bytes));
        let mut switch = Switch { machine, original: read(&current), current: current.clone(), names, next: 0 };
        let mut sources = Vec::new();
        for _ in 0..3 {
            assert_eq!(switch.advance(), Ok(1));
            sources.push(read(&current));
        }
        assert_eq!(sources, ["acpi_pm", "tsc", "acpi_pm"]);
        drop(switch);
        assert_eq!(read(&current), "tsc");
    }

    #[test]
    fn cannot_switch_where_there_is_nothing() {
        assert!(wait_for_two(Path::new("/nonexistent"), 2).is_empty());
    }
}
