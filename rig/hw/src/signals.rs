//! INT, TERM and HUP are looked at between updates and never end the program inside one.
//!
//! They are blocked before anything of the machine is changed, in the thread that all others are started by, and stay so until
//! the process ends: then everything is as it was before, the verdict is written, and the signal has nothing left to do.

use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use std::io;

const WATCHED: [Signal; 3] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP];

/// The signals, which are blocked from now on.
#[derive(Debug)]
pub(crate) struct Signals {
    waiting: SignalFd,
    /// The first that came.
    received: Option<Signal>,
}

impl Signals {
    /// Blocks them in this thread and in those that it starts.
    pub(crate) fn block() -> io::Result<Self> {
        let mask: SigSet = WATCHED.into_iter().collect();
        mask.thread_block()?;
        let waiting = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        Ok(Self { waiting, received: None })
    }

    /// The first signal that came until now.
    pub(crate) fn received(&mut self) -> Option<Signal> {
        while let Ok(Some(info)) = self.waiting.read_signal() {
            let signal = i32::try_from(info.ssi_signo).ok().and_then(|number| Signal::try_from(number).ok());
            self.received = self.received.or(signal);
        }
        self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::sys::signal::raise;

    /// In a thread of its own: a signal that is raised is for the thread that raises it, and the mask is the thread's.
    #[test]
    fn a_signal_ends_nothing_and_is_found_later() {
        let test = || {
            let mut signals = Signals::block().unwrap();
            assert_eq!(signals.received(), None);
            WATCHED.into_iter().rev().for_each(|signal| raise(signal).unwrap());
            // What is pending has no order, but the first that was seen stays.
            let first = signals.received().unwrap();
            raise(Signal::SIGTERM).unwrap();
            assert_eq!(signals.received(), Some(first));
        };
        std::thread::spawn(test).join().unwrap();
    }
}
