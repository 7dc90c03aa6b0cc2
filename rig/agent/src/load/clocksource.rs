//! The kernel's clock source, switched back and forth. `timekeeping_notify()` does it inside `stop_machine`, so this load
//! competes with updates for all CPUs.

use super::profile::Step;
use crate::failure;
use rig_wire::agent::Failure;
use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

const FOLDER: &str = "/sys/devices/system/clocksource/clocksource0";
/// Coarse sources that only the boot uses.
const COARSE: [&str; 2] = ["jiffies", "refined-jiffies"];

/// One thread. Refused where the kernel has less than two clock sources.
pub(super) fn steps(pause_ms: u32) -> Result<Vec<Step>, Failure> {
    let folder = Path::new(FOLDER);
    let names = available(folder);
    if names.len() < 2 {
        return Err(failure::refused(
            libc::ENODEV,
            format_args!("one clock source only, {names:?}: nothing to switch"),
        ));
    }
    let current = folder.join("current_clocksource");
    let mut switch = Switch { original: read(&current), current, names, next: 0 };
    let pause = Duration::from_millis(pause_ms.into());
    Ok(vec![Box::new(move || {
        thread::sleep(pause);
        switch.advance()
    })])
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default().trim().to_owned()
}

fn available(folder: &Path) -> Vec<String> {
    let names = read(&folder.join("available_clocksource"));
    names.split_whitespace().filter(|name| !COARSE.contains(name)).map(str::to_owned).collect()
}

/// Goes through the clock sources in turn.
struct Switch {
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
        fs::write(&self.current, name).map_err(|e| format!("switch to clock source {name}: {e}"))?;
        let now = read(&self.current);
        if now == *name { Ok(1) } else { Err(format!("the kernel took {now} for a clock source, not {name}")) }
    }
}

impl Drop for Switch {
    /// Leaves the clock source as it was.
    fn drop(&mut self) {
        if let Err(error) = fs::write(&self.current, &self.original) {
            crate::console::say(&format!("the clock source is not {} again: {error}", self.original));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_switch_in_turn_and_leaves_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("available_clocksource"), "tsc acpi_pm refined-jiffies\n").unwrap();
        let current = folder.path().join("current_clocksource");
        fs::write(&current, "tsc\n").unwrap();
        let names = available(folder.path());
        assert_eq!(names, ["tsc", "acpi_pm"]);
        let mut switch = Switch { original: read(&current), current: current.clone(), names, next: 0 };
        let mut seen = Vec::new();
        for _ in 0..3 {
            assert_eq!(switch.advance(), Ok(1));
            seen.push(read(&current));
        }
        assert_eq!(seen, ["acpi_pm", "tsc", "acpi_pm"]);
        drop(switch);
        assert_eq!(read(&current), "tsc");
    }

    #[test]
    fn cannot_switch_where_there_is_nothing() {
        assert!(available(Path::new("/nonexistent")).is_empty());
    }
}
