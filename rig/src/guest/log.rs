//! The way of the guest's kernel log through the rig, which a guest must not be able to fill the host's memory or disk with.

use tokio::sync::mpsc;

/// Lines that wait for their reader. With more the agent has to wait, and in the end the guest.
const WAITING_LINES: usize = 4096;
/// The longest line, bytes. The kernel's records have about 1 KiB (`PRINTK_MESSAGE_MAX`).
const LONGEST_LINE: usize = 16 << 10;
/// All lines of one machine together, bytes. With more the recording of a run is given up, since the rest would not be judged.
pub(super) const MOST_OF_A_LOG: u64 = 256 << 20;

/// Where the lines come out, in their order. When it is dropped, they are thrown away.
pub type LogLines = mpsc::Receiver<String>;

/// Where the lines go in.
#[derive(Debug)]
pub struct LogSink {
    lines: mpsc::Sender<String>,
    /// Bytes that may still come.
    left: u64,
}

/// A way for the lines of one machine.
pub fn kernel_log() -> (LogSink, LogLines) {
    kernel_log_of(MOST_OF_A_LOG)
}

pub(super) fn kernel_log_of(most: u64) -> (LogSink, LogLines) {
    let (lines, out) = mpsc::channel(WAITING_LINES);
    (LogSink { lines, left: most }, out)
}

impl LogSink {
    /// Passes a line on; says whether the log may still go on.
    pub(super) async fn pass(&mut self, line: String) -> bool {
        let line = bounded(line);
        let Some(left) = self.left.checked_sub(line.len() as u64) else { return false };
        self.left = left;
        // Where the other end was dropped the lines are not needed.
        let _ = self.lines.send(line).await;
        true
    }
}

fn bounded(line: String) -> String {
    if line.len() <= LONGEST_LINE {
        return line;
    }
    let kept = (0..=LONGEST_LINE).rev().find(|at| line.is_char_boundary(*at)).unwrap_or_default();
    format!("{} [seamrig: {} bytes of this line are left out]", &line[..kept], line.len() - kept)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test]
    async fn a_guest_waits_when_nobody_reads_its_log() {
        let (mut sink, mut lines) = kernel_log();
        for n in 0..WAITING_LINES {
            assert!(sink.pass(n.to_string()).await);
        }
        let one_more = tokio::time::timeout(Duration::from_millis(20), sink.pass("more".into())).await;
        assert!(one_more.is_err(), "it is not taken");
        assert_eq!(lines.recv().await.unwrap(), "0");
        assert!(sink.pass("more".into()).await);
    }

    #[tokio::test]
    async fn a_log_comes_to_an_end() {
        let (mut sink, mut lines) = kernel_log_of(10);
        assert!(sink.pass("12345".into()).await && sink.pass("67890".into()).await);
        assert!(!sink.pass("1".into()).await);
        drop(sink);
        assert_eq!((lines.recv().await.unwrap(), lines.recv().await.unwrap()), ("12345".into(), "67890".into()));
        assert_eq!(lines.recv().await, None);
    }

    #[tokio::test]
    async fn a_log_that_nobody_wants_holds_nobody_up() {
        let (mut sink, lines) = kernel_log();
        drop(lines);
        for _ in 0..2 * WAITING_LINES {
            assert!(sink.pass("line".into()).await);
        }
    }

    #[test]
    fn a_long_line_says_that_it_was_cut() {
        let cut = bounded("\u{e4}".repeat(LONGEST_LINE));
        assert!(cut.len() < LONGEST_LINE + 100 && cut.ends_with("[seamrig: 16384 bytes of this line are left out]"));
        assert_eq!(bounded("short".into()), "short");
    }
}
