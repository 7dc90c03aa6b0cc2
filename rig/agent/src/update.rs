//! Uploading a module image through the kernel's firmware upload class
//! (`Documentation/driver-api/firmware/fw_upload.rst`,
//! `drivers/base/firmware_loader/sysfs_upload.c`).

use crate::{failure, prelude};
use rig_wire::agent::{Failure, UpdateOutcome};
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Where upload devices are: the kernel's class, and that of the update module where the kernel has none.
const CLASSES: [&str; 2] = ["/sys/class/firmware", "/sys/class/tdx_firmware"];
/// `status` is read every millisecond at first, so that short updates are measured well ...
const FINE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// ... and then less often, so that reading does not slow what it waits for.
const COARSE: Duration = Duration::from_millis(5);

/// Held by an update, and by a load while it has taken away what an update needs.
static GATE: Mutex<()> = Mutex::new(());

/// Keeps updates from beginning, and waits for one that is under way.
pub(crate) fn keep_away() -> MutexGuard<'static, ()> {
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Uploads `image` to `device` and waits, however long, until the kernel is idle: the rig knows how long is too long.
pub(crate) fn update(device: &str, image: &[u8]) -> Result<UpdateOutcome, Failure> {
    if device.is_empty() || device.contains(['/', '.']) {
        return Err(failure::refused(libc::EINVAL, format_args!("{device:?} is no upload device")));
    }
    if image.is_empty() {
        let why = "an empty image: the kernel would drop it without a word and keep the error of the update before";
        return Err(failure::refused(libc::EINVAL, why));
    }
    let mut folders = CLASSES.iter().map(|class| Path::new(class).join(device));
    let folder = folders.clone().find(|folder| folder.exists()).or_else(|| folders.next());
    upload(&folder.expect("there are classes"), image)
}

/// Uploads `image` through the upload device in `folder`, and waits until the kernel is idle. Fails only where the outcome
/// cannot be read; that the kernel refused the image is an outcome.
pub fn upload(folder: &Path, image: &[u8]) -> Result<UpdateOutcome, Failure> {
    let _no_load_is_in_the_way = keep_away();
    Upload { folder: folder.to_owned() }.run(image)
}

/// One upload device.
struct Upload {
    folder: PathBuf,
}

impl Upload {
    fn run(&self, image: &[u8]) -> Result<UpdateOutcome, Failure> {
        self.attribute("status")?;
        if let Err(error) = self.hand_over(image) {
            return self.outcome(error.raw_os_error().or(Some(libc::EIO)), Duration::ZERO);
        }
        prelude::play();
        let started = Instant::now();
        if let Err(error) = self.write("loading", b"0") {
            return self.outcome(error.raw_os_error().or(Some(libc::EIO)), started.elapsed());
        }
        self.wait_until_idle(started)?;
        self.outcome(None, started.elapsed())
    }

    /// Gives the image to the kernel, and takes it back when the kernel does not take all of it.
    fn hand_over(&self, image: &[u8]) -> io::Result<()> {
        self.write("loading", b"1")?;
        let handed = self.write("data", image);
        if handed.is_err() {
            self.write("loading", b"-1")?;
        }
        handed
    }

    fn wait_until_idle(&self, started: Instant) -> Result<(), Failure> {
        while self.attribute("status")? != "idle" {
            let (pause, until) = FINE;
            thread::sleep(if started.elapsed() < until { pause } else { COARSE });
        }
        Ok(())
    }

    fn outcome(&self, errno: Option<i32>, duration: Duration) -> Result<UpdateOutcome, Failure> {
        let status = self.attribute("status")?;
        // The kernel answers EBUSY while another upload runs; then there is no error to read yet.
        let error = if status == "idle" { self.attribute("error")? } else { String::new() };
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Ok(UpdateOutcome { status, error, errno, duration_us })
    }

    fn attribute(&self, name: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        let text =
            fs::read_to_string(&path).map_err(|e| failure::from_io(format_args!("read {}", path.display()), &e))?;
        Ok(text.trim().to_owned())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        OpenOptions::new().write(true).open(self.folder.join(name))?.write_all(bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Plain files in the shape of an upload device: they show what was written, and `status` never changes.
    fn device(status: &str, error: &str) -> (tempfile::TempDir, Upload) {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("status", status), ("error", error), ("loading", ""), ("data", "")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let upload = Upload { folder: folder.path().to_owned() };
        (folder, upload)
    }

    #[test]
    fn can_upload_and_read_the_outcome() {
        let (folder, upload) = device("idle\n", "transferring:firmware-invalid\n");
        let outcome = upload.run(b"image").unwrap();
        assert_eq!((outcome.status.as_str(), outcome.errno), ("idle", None));
        assert_eq!(outcome.error, "transferring:firmware-invalid");
        assert_eq!(fs::read(folder.path().join("data")).unwrap(), b"image");
        // The plain file keeps both: 1, then 0 over it.
        assert_eq!(fs::read(folder.path().join("loading")).unwrap(), b"0");
    }

    #[test]
    fn can_tell_that_the_kernel_did_not_take_the_image() {
        let (folder, upload) = device("receiving\n", "");
        fs::remove_file(folder.path().join("data")).unwrap();
        let outcome = upload.run(b"image").unwrap();
        assert_eq!((outcome.errno, outcome.status.as_str()), (Some(libc::ENOENT), "receiving"));
        assert_eq!(fs::read(folder.path().join("loading")).unwrap(), b"-1");
    }

    #[test]
    fn cannot_upload_to_a_missing_device() {
        let failure = update("no_such_device", b"x").unwrap_err();
        assert_eq!(failure.errno, Some(libc::ENOENT));
    }

    #[test]
    fn cannot_upload_nothing_or_elsewhere() {
        assert_eq!(update("tdx_module", b"").unwrap_err().errno, Some(libc::EINVAL));
        assert_eq!(update("../net", b"x").unwrap_err().errno, Some(libc::EINVAL));
    }
}
