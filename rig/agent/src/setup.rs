//! What PID 1 does before anything else: file systems and boot modules.

use crate::{console, failure, modules};
use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use rig_wire::agent::Failure;
use std::fs;

/// Lists modules to load before the port is looked for, one a line: `NAME PARAMETERS...`; `#` begins a comment.
const BOOT_LIST: &str = "/lib/modules/rig/boot";

/// Type, place, and whether the agent can do without it (kernels without debugfs or tracefs are common).
const MOUNTS: [(&str, &str, bool); 6] = [
    ("devtmpfs", "/dev", false),
    ("proc", "/proc", false),
    ("sysfs", "/sys", false),
    ("tmpfs", "/tmp", false),
    ("debugfs", "/sys/kernel/debug", true),
    ("tracefs", "/sys/kernel/tracing", true),
];

/// Mounts all of [`MOUNTS`].
pub(crate) fn mount_all() -> Result<(), Failure> {
    for (kind, place, optional) in MOUNTS {
        match mount_one(kind, place) {
            Err(failure) if !optional => return Err(failure),
            _ => {}
        }
    }
    Ok(())
}

fn mount_one(kind: &str, place: &str) -> Result<(), Failure> {
    // Fails where the place exists already or cannot exist; the mount says so better.
    let _ = fs::create_dir(place);
    match mount(Some(kind), place, Some(kind), MsFlags::empty(), None::<&str>) {
        // The kernel may have mounted devtmpfs itself.
        Ok(()) | Err(Errno::EBUSY) => Ok(()),
        Err(errno) => Err(failure::from_errno(format_args!("mount {kind} on {place}"), errno)),
    }
}

/// Loads the modules of [`BOOT_LIST`], if there is one. A failure is said and left to its consequences.
pub(crate) fn load_boot_modules() {
    let Ok(list) = fs::read_to_string(BOOT_LIST) else { return };
    for (name, parameters) in boot_list(&list) {
        if let Err(failure) = modules::load(name, parameters) {
            console::say(&failure.what);
        }
    }
}

/// The names and parameters in a boot list.
fn boot_list(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines()
        .map(|line| line.split('#').next().unwrap_or_default().trim())
        .filter(|line| !line.is_empty())
        .map(|line| line.split_once(char::is_whitespace).unwrap_or((line, "")))
        .map(|(name, parameters)| (name, parameters.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_read_a_boot_list() {
        let text = "# first\nvirtio_pci\n\n  tdx-host  # of 7.3\nkvm-intel   tdx=1 ept=1\n";
        let list: Vec<_> = boot_list(text).collect();
        assert_eq!(list, [("virtio_pci", ""), ("tdx-host", ""), ("kvm-intel", "tdx=1 ept=1")]);
    }

    #[test]
    fn cannot_find_modules_in_comments() {
        assert_eq!(boot_list("#kvm\n   # tdx-host\n\n").count(), 0);
    }
}
