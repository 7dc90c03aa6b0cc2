//! Bounds on what QEMU and its guest write to files of the host: the serial console and QEMU's own messages.
//!
//! QEMU writes both by itself, and nothing may slow it down or get in between, for then a deterministic machine would
//! depend on it. So a thread looks at the files from time to time and gives the middle of a long one back to the file
//! system. When QEMU is gone, that hole is replaced by a line that says what is missing.

use nix::fcntl::{FallocateFlags, fallocate};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How often the files are looked at. A guest writes some MB a second to its serial port.
const LOOK: Duration = Duration::from_millis(250);

/// What is kept of a file, bytes.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    head: u64,
    tail: u64,
}

/// The boot, and what came last.
const BOUNDS: Bounds = Bounds { head: 4 << 20, tail: 12 << 20 };

/// Keeps files of a running QEMU within bounds. Dropping it, when QEMU is gone, leaves them as plain files.
#[derive(Debug)]
pub struct BoundedLogs {
    /// Dropped to end the thread.
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl BoundedLogs {
    /// Keeps these files within bounds. They need not be there yet.
    pub fn keep(files: Vec<PathBuf>) -> io::Result<Self> {
        Self::keep_within(BOUNDS, files)
    }

    fn keep_within(bounds: Bounds, files: Vec<PathBuf>) -> io::Result<Self> {
        let (end, stopped) = mpsc::channel();
        let thread = thread::Builder::new().name("bounded-logs".into()).spawn(move || {
            while stopped.recv_timeout(LOOK) == Err(RecvTimeoutError::Timeout) {
                for file in &files {
                    bounds.give_back(file);
                }
            }
            for file in &files {
                bounds.close(file);
            }
        })?;
        Ok(Self { end: Some(end), thread: Some(thread) })
    }
}

impl Drop for BoundedLogs {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // A file that could not be bounded is no reason to lose the run.
            let _ = thread.join();
        }
    }
}

/// A log of QEMU's or of its guest, within bounds whatever its length: its beginning and its end. Empty when it cannot be read.
pub fn read(path: &Path) -> String {
    let bytes = File::open(path).and_then(|file| BOUNDS.read(&file)).unwrap_or_default();
    String::from_utf8_lossy(&bytes).into_owned()
}

impl Bounds {
    /// Where the middle of a file of this length begins and ends; none: the file is within bounds.
    fn middle(self, length: u64) -> Option<(u64, u64)> {
        let end = length.checked_sub(self.tail)?;
        (end > self.head).then_some((self.head, end))
    }

    /// Gives the middle of a file that QEMU writes to back to the file system.
    fn give_back(self, path: &Path) {
        // What is not there yet, or is a pipe, is looked at again.
        let Ok(file) = File::options().write(true).open(path) else { return };
        let Some((start, end)) = file.metadata().ok().and_then(|data| self.middle(data.len())) else { return };
        let [at, length] = [start, end - start].map(|n| i64::try_from(n).unwrap_or(i64::MAX));
        let hole = FallocateFlags::FALLOC_FL_PUNCH_HOLE | FallocateFlags::FALLOC_FL_KEEP_SIZE;
        if fallocate(&file, hole, at, length).is_err() {
            // A file system that cannot punch holes has one where nothing was written: QEMU goes on behind the old end.
            let _ = file.set_len(start);
        }
    }

    /// Makes a plain file of one that is not written to any more.
    fn close(self, path: &Path) {
        let bounded = File::open(path).and_then(|file| match self.middle(file.metadata()?.len()) {
            None => Ok(None),
            Some(_) => self.read(&file).map(Some),
        });
        if let Ok(Some(bytes)) = bounded {
            let new = path.with_extension("bounded");
            if std::fs::write(&new, bytes).and_then(|()| std::fs::rename(&new, path)).is_err() {
                // It stays as it is, with its hole.
                let _ = std::fs::remove_file(&new);
            }
        }
    }

    fn read(self, file: &File) -> io::Result<Vec<u8>> {
        let length = file.metadata()?.len();
        let Some((start, end)) = self.middle(length) else { return part(file, 0, length) };
        let mut bytes = part(file, 0, start)?;
        bytes.extend(
            format!("\n[seamrig: {} bytes of this log are left out here, which grew too long]\n", end - start).bytes(),
        );
        bytes.extend(part(file, end, length)?);
        Ok(bytes)
    }
}

/// The bytes of a file from `start` to `end`, as far as they are there.
fn part(file: &File, start: u64, end: u64) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; usize::try_from(end - start).map_err(io::Error::other)?];
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read_at(&mut bytes[filled..], start + filled as u64)? {
            0 => break,
            n => filled += n,
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::unix::fs::MetadataExt;
    use std::time::Instant;

    const SMALL: Bounds = Bounds { head: 64 << 10, tail: 128 << 10 };

    /// Writes `lines` lines as QEMU does, and waits until the file was looked at.
    fn write_lines(path: &Path, lines: u32) {
        let mut file = File::create(path).unwrap();
        for n in 0..lines {
            writeln!(file, "line {n} {}", "x".repeat(80)).unwrap();
        }
    }

    #[test]
    fn a_long_log_keeps_its_beginning_and_its_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        let logs = BoundedLogs::keep_within(SMALL, vec![path.clone(), folder.path().join("missing")]).unwrap();
        write_lines(&path, 50_000);
        let length = path.metadata().unwrap().len();
        let (start, since) = (4 << 20, Instant::now());
        assert!(length > start, "the test writes enough");
        while path.metadata().unwrap().blocks() * 512 > SMALL.head + SMALL.tail + (64 << 10) {
            assert!(since.elapsed() < Duration::from_secs(20), "the middle is still on the disk");
            thread::sleep(Duration::from_millis(20));
        }
        // QEMU goes on where it was.
        File::options().append(true).open(&path).unwrap().write_all(b"the last words\n").unwrap();
        drop(logs);
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(text.len() as u64 <= SMALL.head + SMALL.tail + 200, "{}", text.len());
        assert!(text.starts_with("line 0 ") && text.ends_with("the last words\n"));
        assert_eq!(text.matches("[seamrig: ").count(), 1);
        assert!(!text.contains('\0'));
        let left_out: u64 = text.split("[seamrig: ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(left_out, length + 15 - SMALL.head - SMALL.tail);
    }

    #[test]
    fn a_short_log_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("qemu.log");
        let logs = BoundedLogs::keep_within(SMALL, vec![path.clone()]).unwrap();
        write_lines(&path, 100);
        let before = std::fs::read(&path).unwrap();
        drop(logs);
        assert_eq!(std::fs::read(&path).unwrap(), before);
        assert_eq!(read(&path).as_bytes(), before);
        assert_eq!(read(&folder.path().join("missing")), "");
    }

    #[test]
    fn a_log_of_any_length_is_read_within_bounds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("console.log");
        write_lines(&path, 10);
        File::options().write(true).open(&path).unwrap().set_len(1 << 40).unwrap();
        let text = read(&path);
        assert!(text.starts_with("line 0 ") && text.len() < 17 << 20);
    }
}
