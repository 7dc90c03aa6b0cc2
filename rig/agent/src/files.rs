//! Reading and writing files of sysfs and procfs for the rig.

use crate::failure;
use rig_wire::agent::{EVIDENCE, Failure, MAX_READ};
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Component, Path};

/// The whole file, at most [`MAX_READ`] bytes.
pub(crate) fn read(path: &str) -> Result<Vec<u8>, Failure> {
    read_at_most(path, MAX_READ)
}

fn read_at_most(path: &str, limit: u32) -> Result<Vec<u8>, Failure> {
    let failed = |e: &std::io::Error| failure::from_io(format_args!("read {path}"), e);
    let file = File::open(readable(path)?).map_err(|e| failed(&e))?;
    let mut bytes = Vec::new();
    file.take(u64::from(limit) + 1).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    if bytes.len() > limit as usize {
        return Err(failure::refused(libc::EFBIG, format_args!("read {path}: longer than {limit} bytes")));
    }
    Ok(bytes)
}

/// At most [`MAX_READ`] bytes from `offset` on.
pub(crate) fn read_part(path: &str, offset: u64) -> Result<Vec<u8>, Failure> {
    let failed = |e: &std::io::Error| failure::from_io(format_args!("read {path} at {offset}"), e);
    let mut file = File::open(readable(path)?).map_err(|e| failed(&e))?;
    file.seek(SeekFrom::Start(offset)).map_err(|e| failed(&e))?;
    let mut bytes = Vec::new();
    file.take(u64::from(MAX_READ)).read_to_end(&mut bytes).map_err(|e| failed(&e))?;
    Ok(bytes)
}

/// Writes `data` in one `write(2)`, as attributes want it.
pub(crate) fn write(path: &str, data: &[u8]) -> Result<(), Failure> {
    let failed = |e: &std::io::Error| failure::from_io(format_args!("write {path}"), e);
    let mut file = OpenOptions::new().write(true).open(allowed(path)?).map_err(|e| failed(&e))?;
    let written = file.write(data).map_err(|e| failed(&e))?;
    if written != data.len() {
        let why = format!("write {path}: the kernel took {written} of {} bytes", data.len());
        return Err(failure::refused(libc::EIO, why));
    }
    Ok(())
}

/// The path, if it lies below `/sys` or `/proc`, or where programs of the rig leave their evidence, and does not climb.
fn readable(path: &str) -> Result<&Path, Failure> {
    below(path, &["/sys", "/proc", EVIDENCE])
}

/// The path, if it lies below `/sys` or `/proc` and does not climb.
pub(crate) fn allowed(path: &str) -> Result<&Path, Failure> {
    below(path, &["/sys", "/proc"])
}

fn below<'a>(path: &'a str, roots: &[&str]) -> Result<&'a Path, Failure> {
    let as_path = Path::new(path);
    let below = roots.iter().any(|root| as_path.starts_with(root));
    let climbs = as_path.components().any(|c| c == Component::ParentDir);
    if below && !climbs {
        return Ok(as_path);
    }
    Err(failure::refused(libc::EACCES, format_args!("{path:?} is not below {}", roots.join(" or "))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_read_proc() {
        assert!(read("/proc/self/status").unwrap().starts_with(b"Name:"));
    }

    #[test]
    fn can_read_a_long_file_in_parts() {
        let whole = read("/proc/self/maps").unwrap();
        let end = whole.len() as u64;
        assert_eq!(read_part("/proc/self/maps", 5).unwrap()[..20], whole[5..25]);
        assert!(read_part("/proc/self/maps", end + 100_000).unwrap().is_empty());
        assert_eq!(read_part("/etc/passwd", 0).unwrap_err().errno, Some(libc::EACCES));
    }

    #[test]
    fn cannot_read_what_is_too_long() {
        assert_eq!(read_at_most("/proc/version", 4).unwrap_err().errno, Some(libc::EFBIG));
    }

    #[test]
    fn can_write_proc() {
        write("/proc/thread-self/comm", b"agent-test").unwrap();
    }

    #[test]
    fn cannot_write_what_is_read_only() {
        let failure = write("/proc/self/status", b"x").unwrap_err();
        assert!(matches!(failure.errno, Some(libc::EACCES | libc::EIO | libc::EINVAL)), "{failure:?}");
    }

    #[test]
    fn cannot_leave_sys_and_proc() {
        for path in ["/etc/passwd", "/sys/../etc/passwd", "/system", "proc/1", ""] {
            assert_eq!(allowed(path).unwrap_err().errno, Some(libc::EACCES), "{path:?}");
        }
    }
}
