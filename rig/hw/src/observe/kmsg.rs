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
pub struct KernelLog {
    file: File,
    /// Records were overwritten before they were read.
    pub lost: bool,
}

impl KernelLog {
    /// Begins behind the last record.
    pub fn open(host: &Host) -> io::Result<Self> {
        let nonblock = nix::fcntl::OFlag::O_NONBLOCK.bits();
        let mut file = OpenOptions::new().read(true).custom_flags(nonblock).open(host.path(PATH))?;
        file.seek(SeekFrom::End(0))?;
        Ok(Self { file, lost: false })
    }

    /// What came since, line by line.
    pub fn lines(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        let mut record = [0; RECORD];
        loop {
            match self.file.read(&mut record) {
                Ok(0) => return lines,
                Ok(size) => lines.extend(texts(&String::from_utf8_lossy(&record[..size]))),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.lost = true,
                Err(_) => return lines,
            }
        }
    }
}

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

    #[test]
    fn only_what_came_since_is_told() {
        let fake = Fake::new();
        fake.put(PATH, "6,1,100,-;old\n");
        let mut log = KernelLog::open(&fake.host()).unwrap();
        assert_eq!(log.lines(), Vec::<String>::new());
        let mut file = OpenOptions::new().append(true).open(fake.host().path(PATH)).unwrap();
        file.write_all(b"3,2,200,-;seamldr: one; two\n SUBSYSTEM=faux\n6,3,300,c;three\n").unwrap();
        assert_eq!(log.lines(), ["seamldr: one; two", "three"]);
        assert!(!log.lost);
    }
}
