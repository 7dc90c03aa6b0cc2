//! The virtio-serial port that leads to the rig.

use crate::failure;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rig_wire::agent::Failure;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Where the kernel lists ports.
const CLASS: &str = "/sys/class/virtio-ports";
/// How often the port is looked for before the agent gives up: the name arrives from the host some time after the device.
const LOOKS: u32 = 3000;
/// Pause between two looks.
const PAUSE: Duration = Duration::from_millis(10);

/// Waits until the port with this name is there, at most [`LOOKS`] times [`PAUSE`] of guest time, and opens it.
pub(crate) fn open(name: &str) -> Result<File, Failure> {
    let node = (0..LOOKS).find_map(|_| {
        find(Path::new(CLASS), name).or_else(|| {
            thread::sleep(PAUSE);
            None
        })
    });
    let Some(node) = node else {
        let seconds = (PAUSE * LOOKS).as_secs();
        let why =
            format!("no virtio-serial port is named {name} after {seconds} s; give QEMU a virtserialport with it");
        return Err(failure::refused(libc::ENODEV, why));
    };
    let action = format!("open {}", node.display());
    OpenOptions::new().read(true).write(true).open(&node).map_err(|e| failure::from_io(action, &e))
}

/// The device node of the port with this name.
fn find(class: &Path, name: &str) -> Option<PathBuf> {
    let ports = fs::read_dir(class).ok()?;
    ports.flatten().find(|port| named(&port.path(), name)).map(|port| Path::new("/dev").join(port.file_name()))
}

fn named(port: &Path, name: &str) -> bool {
    fs::read_to_string(port.join("name")).is_ok_and(|text| text.trim() == name)
}

/// Whether the host's end is closed. Reading the port then gives 0 bytes at once, writing it waits.
pub(crate) fn host_is_away(port: &File) -> bool {
    let mut fds = [PollFd::new(port.as_fd(), PollFlags::POLLIN)];
    let polled = poll(&mut fds, PollTimeout::ZERO);
    polled.is_ok() && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn class_with(ports: &[(&str, &str)]) -> tempfile::TempDir {
        let class = tempfile::tempdir().unwrap();
        for (node, name) in ports {
            fs::create_dir(class.path().join(node)).unwrap();
            fs::write(class.path().join(node).join("name"), format!("{name}\n")).unwrap();
        }
        class
    }

    #[test]
    fn can_find_a_port_by_name() {
        let class = class_with(&[("vport0p1", "org.other"), ("vport1p2", "org.rig")]);
        assert_eq!(find(class.path(), "org.rig").unwrap(), Path::new("/dev/vport1p2"));
    }

    #[test]
    fn cannot_find_a_port_of_another_name() {
        let class = class_with(&[("vport0p1", "org.rig.2")]);
        assert_eq!(find(class.path(), "org.rig"), None);
        assert_eq!(find(&class.path().join("missing"), "org.rig"), None);
    }
}
