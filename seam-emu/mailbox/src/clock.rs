//! The server's clock: it goes on where a saved state left off, and stands still until the server is let go.

use std::time::Instant;

#[derive(Debug)]
pub(crate) struct Clock {
    base_ns: u64,
    start: Instant,
}

impl Clock {
    pub(crate) fn new(base_ns: u64) -> Self {
        Self { base_ns, start: Instant::now() }
    }

    /// Goes on from now.
    pub(crate) fn restart(&mut self) {
        self.start = Instant::now();
    }

    /// Nanoseconds since the machine was first started.
    pub(crate) fn now_ns(&self) -> u64 {
        self.base_ns + u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }
}
