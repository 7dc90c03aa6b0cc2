//! The kernel's log since a point in time (`Documentation/ABI/testing/dev-kmsg`).

use crate::host::Host;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;

const PATH: &str = "/dev/kmsg";
/// A record is no longer than this (`PRINTK_MESSAGE_MAX` is 2048).
const RECORD: usize = 8192;

/// The log, from where it was opened on.
#[derive(Debug)]
pub(crate) struct KernelLog {
    file: File,
}

/// What came since the last time.
#[derive(Debug, Default, PartialEq, Eq)]
#[must_use = "what the kernel says must be judged, and a loss ends the updates"]
pub(crate) struct LogLines {
    /// Line by line.
    pub(crate) lines: Vec<String>,
    /// Why these are not all.
    pub(crate) lost: Option<String>,
}

impl KernelLog {
    /// Begins behind the last record.
    pub(crate) fn open(host: &Host) -> io::Result<Self> {
        let nonblock = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let mut file = OpenOptions::new().read(true).custom_flags(nonblock).open(host.path(PATH))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file })
    }

    /// What came since.
    pub(crate) fn lines(&mut self) -> LogLines {
        read_all(&mut self.file)
    }
}

/// Writes a line into the log, where people and the judge find it.
pub(crate) fn write(host: &Host, line: &str) -> io::Result<()> {
    host.append(PATH, &format!("{line}\n"))
}

/// Reads record by record, until there is none now.
fn read_all(log: &mut impl Read) -> LogLines {
    let mut found = LogLines::default();
    let mut record = [0; RECORD];
    loop {
        match log.read(&mut record) {
            Ok(0) => return found,
            Ok(size) => found.lines.extend(texts(&String::from_utf8_lossy(&record[..size]))),
            Err(error) => match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => return found,
                io::ErrorKind::BrokenPipe => {
                    found.lost = Some("the kernel's log overwrote records before they were read".into());
                }
                _ => {
                    found.lost = Some(format!("the kernel's log cannot be read: {error}"));
                    return found;
                }
            },
        }
    }
}

/// The texts alone; the time of a record, which `rig/src/guest/kmsg.rs` reads as well, is of no use here.
/// `6,339,5140900,-;text`, and lines of `KEY=VALUE` behind it, which begin with a space.
fn texts(record: &str) -> Vec<String> {
    let heads = record.lines().filter(|line| !line.starts_with(' '));
    heads.filter_map(|line| Some(line.split_once(';')?.1.to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use std::io::Write;

    /// Answers one read after another.
    struct Script(Vec<Result<&'static [u8], i32>>);

    impl Read for Script {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            match self.0.remove(0) {
                Ok(bytes) => bytes.as_ref().read(buffer),
                Err(errno) => Err(io::Error::from_raw_os_error(errno)),
            }
        }
    }

    #[test]
    fn only_lines_since_the_last_look_are_returned() {
        let fake = Fake::new();
        fake.put(PATH, "6,1,100,-;old\n");
        let mut log = KernelLog::open(&fake.host()).unwrap();
        assert_eq!(log.lines(), LogLines::default());
        let mut file = OpenOptions::new().append(true).open(fake.host().path(PATH)).unwrap();
        file.write_all(b"3,2,200,-;seamldr: one; two\n SUBSYSTEM=faux\n6,3,300,c;three\n").unwrap();
        assert_eq!(log.lines(), LogLines { lines: vec!["seamldr: one; two".into(), "three".into()], lost: None });
    }

    /// EINTR and EAGAIN lose nothing; EPIPE and anything else do, and the loss is reported.
    #[test]
    fn lost_lines_are_reported() {
        const LINE: Result<&[u8], i32> = Ok(b"6,1,1,-;x\n");
        let (eintr, eagain, epipe, eio) = (Err(4), Err(11), Err(32), Err(5));
        let whole = read_all(&mut Script(vec![LINE, eintr, LINE, eagain]));
        assert_eq!((whole.lines.len(), whole.lost), (2, None));
        let overwritten = read_all(&mut Script(vec![LINE, epipe, LINE, eagain]));
        assert_eq!(overwritten.lines.len(), 2);
        assert!(overwritten.lost.unwrap().contains("overwrote"));
        assert!(read_all(&mut Script(vec![LINE, eio])).lost.unwrap().contains("cannot be read"));
    }
}
