//! Uploading a module image through the kernel's firmware upload class
//! (`Documentation/driver-api/firmware/fw_upload.rst`,
//! `drivers/base/firmware_loader/sysfs_upload.c`).

use crate::load::Loads;
use crate::machine::Machine;
use crate::{failure, prelude};
use rig_wire::agent::{Failure, UploadOutcome};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// Where upload devices are: the kernel's class, and that of the update module where the kernel has none.
const CLASSES: [&str; 2] = ["/sys/class/firmware", "/sys/class/tdx_firmware"];
/// `status` is read every millisecond at first, so that short updates are measured well ...
const FINE: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// ... and then less often, so that reading does not slow what it waits for.
const COARSE: Duration = Duration::from_millis(5);

/// Uploads `image` to `device` beside `loads` and waits, however long, until the kernel is idle: the rig knows how long is too
/// long. Refused while a CPU is missing that a load between updates took offline.
pub(crate) fn update(loads: &Loads, device: &str, image: &[u8]) -> Result<UploadOutcome, Failure> {
    if device.is_empty() || device.contains(['/', '.']) {
        return Err(failure::refused(libc::EINVAL, format_args!("{device:?} is no upload device")));
    }
    if image.is_empty() {
        let why = "an empty image: the kernel would drop it without a word and keep the error of the update before";
        return Err(failure::refused(libc::EINVAL, why));
    }
    let mut folders = CLASSES.iter().map(|class| Path::new(class).join(device));
    let folder = folders.clone().find(|folder| folder.exists()).or_else(|| folders.next());
    let all_are_there = |missing: &[String]| match missing {
        [] => Ok(()),
        [why, ..] => Err(failure::refused(libc::EBUSY, why)),
    };
    upload(loads, &folder.expect("there are classes"), image, all_are_there)?
}

/// Uploads `image` through the upload device in `folder`, and waits until the kernel is idle.
///
/// The image is handed over first. Then, at the last moment, `may_begin` is asked: it is given what loads took away and could
/// not bring back, in words. Between its answer and the write that begins the update there is nothing, and no load that waits
/// for the end of updates can come in between. The outer result is its refusal, upon which the image is taken back; the
/// inner one fails only where the outcome cannot be read: that the kernel refused the image is an outcome.
pub fn upload<R>(
    loads: &Loads,
    folder: &Path,
    image: &[u8],
    may_begin: impl FnOnce(&[String]) -> Result<(), R>,
) -> Result<Result<UploadOutcome, Failure>, R> {
    let closed = loads.gate().close();
    let upload = Upload { machine: loads.machine().clone(), folder: folder.to_owned() };
    upload.run(image, || may_begin(&closed.missing()))
}

/// One upload device.
struct Upload {
    machine: Machine,
    folder: PathBuf,
}

impl Upload {
    fn run<R>(
        &self,
        image: &[u8],
        may_begin: impl FnOnce() -> Result<(), R>,
    ) -> Result<Result<UploadOutcome, Failure>, R> {
        if let Err(failure) = self.attribute("status") {
            return Ok(Err(failure));
        }
        if let Err(error) = self.hand_over(image) {
            return Ok(self.outcome(error.raw_os_error().or(Some(libc::EIO)), Duration::ZERO));
        }
        prelude::play();
        if let Err(refusal) = may_begin() {
            // If the kernel keeps the image all the same, the next upload replaces it.
            let _ = self.write("loading", b"-1");
            return Err(refusal);
        }
        Ok(self.begin())
    }

    fn begin(&self) -> Result<UploadOutcome, Failure> {
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

    fn outcome(&self, errno: Option<i32>, duration: Duration) -> Result<UploadOutcome, Failure> {
        let status = self.attribute("status")?;
        // The kernel answers EBUSY while another upload runs; then there is no error to read yet.
        let error = if status == "idle" { self.attribute("error")? } else { String::new() };
        let duration_us = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        Ok(UploadOutcome { status, error, errno, duration_us })
    }

    fn attribute(&self, name: &str) -> Result<String, Failure> {
        let path = self.folder.join(name);
        let text =
            fs::read_to_string(&path).map_err(|e| failure::from_io(format_args!("read {}", path.display()), &e))?;
        Ok(text.trim().to_owned())
    }

    fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.machine.write(&self.folder.join(name), bytes)
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
        let upload = Upload { machine: Machine::default(), folder: folder.path().to_owned() };
        (folder, upload)
    }

    /// The image was handed over, and nothing but its taking back follows.
    #[test]
    fn a_refusal_at_the_last_moment_begins_nothing() {
        let (folder, upload) = device("idle\n", "");
        let loading = folder.path().join("loading");
        let refuse = || {
            assert_eq!(fs::read(folder.path().join("data")).unwrap(), b"image");
            assert_eq!(fs::read(&loading).unwrap(), b"1");
            Err("a CPU is offline")
        };
        assert_eq!(upload.run(b"image", refuse), Err("a CPU is offline"));
        assert_eq!(fs::read(&loading).unwrap(), b"-1");
    }

    #[test]
    fn can_upload_and_read_the_outcome() {
        let (folder, upload) = device("idle\n", "transferring:firmware-invalid\n");
        let outcome = upload.run(b"image", || Ok::<(), ()>(())).unwrap().unwrap();
        assert_eq!((outcome.status.as_str(), outcome.errno), ("idle", None));
        assert_eq!(outcome.error, "transferring:firmware-invalid");
        assert_eq!(fs::read(folder.path().join("data")).unwrap(), b"image");
        // The plain file keeps both: 1, then 0 over it.
        assert_eq!(fs::read(folder.path().join("loading")).unwrap(), b"0");
    }

    #[test]
    fn can_report_that_the_kernel_did_not_take_the_image() {
        let (folder, upload) = device("receiving\n", "");
        fs::remove_file(folder.path().join("data")).unwrap();
        let outcome = upload.run(b"image", || Ok::<(), ()>(())).unwrap().unwrap();
        assert_eq!((outcome.errno, outcome.status.as_str()), (Some(libc::ENOENT), "receiving"));
        assert_eq!(fs::read(folder.path().join("loading")).unwrap(), b"-1");
    }

    #[test]
    fn cannot_upload_to_a_missing_device() {
        let failure = update(&Loads::default(), "no_such_device", b"x").unwrap_err();
        assert_eq!(failure.errno, Some(libc::ENOENT));
    }

    #[test]
    fn cannot_upload_nothing_or_elsewhere() {
        assert_eq!(update(&Loads::default(), "tdx_module", b"").unwrap_err().errno, Some(libc::EINVAL));
        assert_eq!(update(&Loads::default(), "../net", b"x").unwrap_err().errno, Some(libc::EINVAL));
    }
}
