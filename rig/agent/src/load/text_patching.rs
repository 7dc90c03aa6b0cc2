//! The kernel's code, patched while it runs: a probe on a busy function comes and goes. The kernel does it with a breakpoint
//! and an interrupt to all CPUs (`text_poke_bp`), under the locks that an update's `stop_machine` needs, too.

use super::work::Step;
use crate::failure;
use rig_wire::agent::Failure;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

const FOLDER: &str = "/sys/kernel/tracing";
/// A function that every read of a file runs through, on whichever CPU.
const PROBED: &str = "vfs_read";
/// Group and name of the probe.
const EVENT: &str = "rig/patched";

/// One thread. Refused where the kernel has no probes.
pub(super) fn steps(pause_ms: u32) -> Result<Vec<Step>, Failure> {
    let folder = Path::new(FOLDER);
    let probe = Probe::define(folder).map_err(|what| failure::refused(libc::ENODEV, format_args!("{what}")))?;
    let pause = Duration::from_millis(pause_ms.into());
    Ok(vec![Box::new(move || {
        probe.switch("1")?;
        thread::sleep(pause);
        probe.switch("0")?;
        Ok(1)
    })])
}

/// A probe, defined and not in place.
struct Probe {
    folder: PathBuf,
}

impl Probe {
    fn define(folder: &Path) -> Result<Self, String> {
        append(folder, &format!("p:{EVENT} {PROBED}"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Patches the probe in ("1") or out ("0"), and looks whether the kernel says so, too.
    fn switch(&self, to: &str) -> Result<(), String> {
        let path = self.folder.join("events").join(EVENT).join("enable");
        fs::write(&path, to).map_err(|e| format!("write {to} to {}: {e}", path.display()))?;
        let now = fs::read_to_string(&path).map_err(|e| format!("read {}: {e}", path.display()))?;
        if now.trim() == to { Ok(()) } else { Err(format!("the probe is {}, not {to}", now.trim())) }
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        let removed = self.switch("0").and_then(|()| append(&self.folder, &format!("-:{EVENT}")));
        if let Err(what) = removed {
            crate::console::say(&format!("the probe of the load is still there: {what}"));
        }
    }
}

fn append(folder: &Path, line: &str) -> Result<(), String> {
    let path = folder.join("kprobe_events");
    let failed = |e| format!("write \"{line}\" to {}: {e}", path.display());
    let mut file = fs::OpenOptions::new().append(true).open(&path).map_err(failed)?;
    file.write_all(line.as_bytes()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with the files of tracefs that a probe needs, as ordinary files.
    fn tracefs() -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("events").join(EVENT)).unwrap();
        fs::write(folder.path().join("kprobe_events"), "").unwrap();
        folder
    }

    #[test]
    fn a_probe_is_defined_switched_and_removed() {
        let folder = tracefs();
        let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
        let probe = Probe::define(folder.path()).unwrap();
        assert_eq!(read("kprobe_events"), "p:rig/patched vfs_read");
        probe.switch("1").unwrap();
        assert_eq!(read("events/rig/patched/enable"), "1");
        drop(probe);
        assert_eq!(read("events/rig/patched/enable"), "0");
        assert!(read("kprobe_events").ends_with("-:rig/patched"));
    }

    #[test]
    fn cannot_probe_a_kernel_without_probes() {
        let folder = tempfile::tempdir().unwrap();
        let what = Probe::define(folder.path()).err().expect("there is no such file");
        assert!(what.contains("kprobe_events"), "{what}");
    }
}
