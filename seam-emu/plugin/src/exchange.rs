//! The agent's stream on a deterministic machine: carried at an instruction, while the machine stands still.
//!
//! Nothing on the host may touch the machine between start and exit, or an interrupt arrives an instruction earlier or later.
//! So the agent waits for the rig's words inside a callback of the only thread that runs vCPUs: no guest time passes, and
//! what comes after depends on the words alone. Control requests are served in the same gap.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// The rig's end of the agent's stream, and whether the machine stands still for it.
pub(crate) struct Exchange {
    rig: OnceLock<Mutex<UnixStream>>,
    still: Mutex<bool>,
    changed: Condvar,
    /// The machine goes on without the rig.
    parked: AtomicBool,
}

/// What came of asking the rig for bytes.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Received {
    /// The whole buffer.
    All,
    /// The rig is gone.
    Gone,
    /// The machine is parked, and the rig has said nothing.
    Nothing,
}

impl Exchange {
    /// Without a rig yet.
    pub(crate) fn new() -> Self {
        let (rig, still, changed) = (OnceLock::new(), Mutex::new(false), Condvar::new());
        Self { rig, still, changed, parked: AtomicBool::new(false) }
    }

    /// Connects to the rig, which listens, and which takes the connection as a sign that the emulator is ready.
    pub(crate) fn connect(&self, socket: &Path) -> std::io::Result<()> {
        let rig = UnixStream::connect(socket)?;
        self.rig.get_or_init(|| Mutex::new(rig));
        Ok(())
    }

    fn rig(&self) -> MutexGuard<'_, UnixStream> {
        lock(self.rig.get().expect("the rig is connected before the machine runs"))
    }

    /// Waits until the machine stands still; it does so while the guard lives. A parked machine is never waited for.
    pub(crate) fn stand_still(&self) -> MutexGuard<'_, bool> {
        let still = lock(&self.still);
        let moves = |still: &mut bool| !*still && !self.parked.load(Ordering::Acquire);
        self.changed.wait_while(still, moves).unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on the machine waits no more. The agent, which waits already, is woken by the rig's next words.
    pub(crate) fn park(&self) {
        self.parked.store(true, Ordering::Release);
    }

    /// Fills the whole buffer: in parts, the number of parts would be the host's to decide.
    pub(crate) fn receive(&self, buffer: &mut [u8]) -> Received {
        self.set_still(true);
        let received = self.read(buffer);
        self.set_still(false);
        received
    }

    fn set_still(&self, still: bool) {
        *lock(&self.still) = still;
        self.changed.notify_all();
    }

    fn read(&self, buffer: &mut [u8]) -> Received {
        let mut rig = self.rig();
        let parked = self.parked.load(Ordering::Acquire);
        if rig.set_nonblocking(parked).is_err() {
            return Received::Gone;
        }
        let mut filled = 0;
        while filled < buffer.len() {
            match rig.read(&mut buffer[filled..]) {
                Ok(0) => return Received::Gone,
                Ok(n) => filled += n,
                Err(e) if e.kind() == ErrorKind::WouldBlock && filled == 0 => return Received::Nothing,
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    std::thread::yield_now();
                }
                Err(_) => return Received::Gone,
            }
        }
        Received::All
    }

    /// Hands bytes to the rig.
    pub(crate) fn send(&self, mut bytes: &[u8]) {
        let mut rig = self.rig();
        while !bytes.is_empty() {
            match rig.write(bytes) {
                Ok(n) => bytes = &bytes[n..],
                Err(e) if matches!(e.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {
                    std::thread::yield_now();
                }
                // A rig that is gone hears nothing, and its end is the end of QEMU too.
                Err(_) => return,
            }
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    fn exchange() -> (Arc<Exchange>, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let exchange = Exchange::new();
        exchange.rig.set(Mutex::new(ours)).unwrap();
        (Arc::new(exchange), theirs)
    }

    #[test]
    fn a_buffer_is_filled_whole_however_the_bytes_come() {
        let (exchange, mut rig) = exchange();
        let writer = std::thread::spawn(move || {
            for byte in 0..6_u8 {
                rig.write_all(&[byte]).unwrap();
                std::thread::yield_now();
            }
            rig
        });
        let mut buffer = [0; 6];
        assert_eq!(exchange.receive(&mut buffer), Received::All);
        assert_eq!(buffer, [0, 1, 2, 3, 4, 5]);
        drop(writer.join().unwrap());
        assert_eq!(exchange.receive(&mut buffer), Received::Gone);
    }

    #[test]
    fn requests_wait_until_the_machine_stands_still() {
        let (exchange, mut rig) = exchange();
        let waiting = Arc::clone(&exchange);
        let (asked, answered) = std::sync::mpsc::channel();
        let control = std::thread::spawn(move || {
            asked.send(*waiting.stand_still()).unwrap();
            rig.write_all(&[7]).unwrap();
        });
        assert!(answered.try_recv().is_err(), "the machine runs");
        let mut buffer = [0];
        assert_eq!((exchange.receive(&mut buffer), buffer), (Received::All, [7]));
        assert!(answered.recv().unwrap());
        control.join().unwrap();
    }

    #[test]
    fn a_parked_machine_waits_for_nobody() {
        let (exchange, mut rig) = exchange();
        exchange.park();
        let mut buffer = [0; 2];
        assert_eq!(exchange.receive(&mut buffer), Received::Nothing);
        rig.write_all(&[1, 2]).unwrap();
        assert_eq!(exchange.receive(&mut buffer), Received::All);
        drop(exchange.stand_still());
    }
}
