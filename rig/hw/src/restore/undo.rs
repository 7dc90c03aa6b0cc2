//! The ways back, one for each kind of change. Each can be gone twice, and looks whether it led anywhere.

use crate::host::Host;
use crate::tracefs::Tracefs;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::thread;
use std::time::Duration;

/// A CPU that does not come online at once is asked for so often ...
const TRIES: u32 = 10;
/// ... with this pause.
const TRY_PAUSE: Duration = Duration::from_millis(100);
const CPUS: &str = "/sys/devices/system/cpu";

/// A way back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub(crate) enum Undo {
    /// A file of the kernel gets the text that it had.
    Setting {
        /// The file.
        path: String,
        /// Its text.
        value: String,
    },
    /// These CPUs come online.
    Online {
        /// Their numbers.
        cpus: Vec<u16>,
    },
    /// Our probes are removed.
    Probes {
        /// Where tracefs is.
        tracefs: String,
    },
    /// Our tracing instance is removed.
    Instance {
        /// Where tracefs is.
        tracefs: String,
    },
    /// A file system is taken away.
    Unmount {
        /// Where it was put.
        path: String,
    },
}

impl Undo {
    /// Goes the way back, and looks whether everything is as it was. The error says what is not.
    pub(crate) fn apply(&self, host: &Host) -> Result<(), String> {
        match self {
            Self::Setting { path, value } => set(host, path, value),
            Self::Online { cpus } => cpus.iter().try_for_each(|cpu| online(host, *cpu)),
            Self::Probes { tracefs } => Tracefs::at(host, tracefs).remove_probes(),
            Self::Instance { tracefs } => Tracefs::at(host, tracefs).remove_instance(),
            Self::Unmount { path } => unmount(host, path),
        }
    }
}

/// In words, as part of a sentence.
impl fmt::Display for Undo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Setting { path, value } => write!(f, "set {path} to {value} again"),
            Self::Online { cpus } => write!(f, "bring CPUs online again ({} were)", cpus.len()),
            Self::Probes { tracefs } => write!(f, "remove the probes in {tracefs}/kprobe_events"),
            Self::Instance { tracefs } => write!(f, "remove the tracing instance in {tracefs}/instances"),
            Self::Unmount { path } => write!(f, "unmount {path}"),
        }
    }
}

fn set(host: &Host, path: &str, value: &str) -> Result<(), String> {
    let read = || host.read(path).map_err(|e| format!("read {path}: {e}"));
    if read()? == value {
        return Ok(());
    }
    host.write(path, value).map_err(|e| format!("write {value} to {path}: {e}"))?;
    let now = read()?;
    if now == value { Ok(()) } else { Err(format!("{path} says {now} after {value} was written")) }
}

/// CPU 0 of most machines, and a CPU that was taken out meanwhile, have no such file.
fn online(host: &Host, cpu: u16) -> Result<(), String> {
    let path = format!("{CPUS}/cpu{cpu}/online");
    if !host.has(&path) {
        return Ok(());
    }
    let mut result = set(host, &path, "1");
    for _ in 1..TRIES {
        if result.is_ok() {
            break;
        }
        thread::sleep(TRY_PAUSE);
        result = set(host, &path, "1");
    }
    result
}

fn unmount(host: &Host, path: &str) -> Result<(), String> {
    let mounts = host.read("/proc/self/mounts").map_err(|e| format!("read /proc/self/mounts: {e}"))?;
    let is_mounted = mounts.lines().any(|line| line.split(' ').nth(1) == Some(path));
    if !is_mounted || !host.is_real() {
        return Ok(());
    }
    nix::mount::umount(path).map_err(|errno| format!("unmount {path}: {errno}"))
}
