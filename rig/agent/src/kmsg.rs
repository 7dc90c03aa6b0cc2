//! The kernel's log, record by record, to the rig.

use crate::channel::Channel;
use crate::failure;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use rig_wire::agent::{Failure, FromAgent, encode};
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::{Mutex, PoisonError};

/// The kernel refuses to read a record into less (`PRINTK_MESSAGE_MAX` is 2048, escaped and with its prefix).
const RECORD_MAX: usize = 8192;
/// Records are sent together up to about this many bytes: each write to the port costs an exit to the host.
const BATCH: usize = 16 << 10;

/// A reader of `/dev/kmsg` that begins with the oldest record kept.
pub(crate) struct Kmsg {
    log: File,
    /// Held from reading records to having sent them, so that they arrive in order.
    order: Mutex<()>,
}

impl Kmsg {
    /// Opens the log.
    pub(crate) fn open() -> Result<Self, Failure> {
        let log = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open("/dev/kmsg");
        let log = log.map_err(|e| failure::from_io("open /dev/kmsg", &e))?;
        Ok(Self { log, order: Mutex::new(()) })
    }

    /// Sends the log to the rig as it grows, until the channel fails.
    pub(crate) fn stream(&self, channel: &Channel) -> io::Error {
        loop {
            let mut fds = [PollFd::new(self.log.as_fd(), PollFlags::POLLIN)];
            let sent = poll(&mut fds, PollTimeout::NONE).map_err(io::Error::from).and_then(|_| self.send_all(channel));
            if let Err(error) = sent {
                return error;
            }
        }
    }

    /// Writes a line into the log, and sends every record up to it. The line has the level "informational", which keeps it
    /// off the serial console.
    pub(crate) fn mark(&self, text: &str, channel: &Channel) -> Result<(), Failure> {
        // One write is one record.
        let record = format!("<6>{text}\n");
        let log = OpenOptions::new().write(true).open("/dev/kmsg");
        let written = log.and_then(|mut log| log.write_all(record.as_bytes()));
        written.map_err(|e| failure::from_io("write to /dev/kmsg", &e))?;
        self.send_all(channel).map_err(|e| failure::from_io("send the kernel's log", &e))
    }

    /// Sends every record that is there now.
    pub(crate) fn send_all(&self, channel: &Channel) -> io::Result<()> {
        let _in_order = self.order.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let frames = self.batch()?;
            if frames.is_empty() {
                return Ok(());
            }
            channel.write(&frames)?;
        }
    }

    /// Some records as frames; none when there are none now.
    fn batch(&self) -> io::Result<Vec<u8>> {
        let mut frames = Vec::new();
        let mut buffer = [0; RECORD_MAX];
        while frames.len() < BATCH {
            match (&self.log).read(&mut buffer) {
                Ok(length) => frames.extend(frame(&buffer[..length])),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                // Records were overwritten before they were read; the rig finds the gap in the sequence numbers.
                Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
                Err(error) => return Err(error),
            }
        }
        Ok(frames)
    }
}

/// One record as a frame.
fn frame(record: &[u8]) -> Vec<u8> {
    let line = String::from_utf8_lossy(record).trim_end().to_owned();
    encode(&FromAgent::Kmsg { line }).expect("a record is far shorter than a frame")
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_wire::agent::read_frame;

    #[test]
    fn records_keep_their_form() {
        let record = b"6,339,5140900,-;Booting \xff\n SUBSYSTEM=acpi\n";
        let FromAgent::Kmsg { line } = read_frame(&mut frame(record).as_slice()).unwrap() else { panic!() };
        assert_eq!(line, "6,339,5140900,-;Booting \u{fffd}\n SUBSYSTEM=acpi");
    }

    #[test]
    fn the_longest_record_fits_a_frame() {
        assert!(frame(&[0xff; RECORD_MAX]).len() > RECORD_MAX);
    }
}
