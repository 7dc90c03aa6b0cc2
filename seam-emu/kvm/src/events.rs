//! Puts what happened into the event ring.

use rig_wire::event::{Kind, Record};
use rig_wire::ring::Ring;
use std::time::Instant;

/// Writes records into a ring; a loss is counted there.
#[derive(Debug)]
pub struct Events {
    ring: Option<Ring>,
    start: Instant,
}

impl Events {
    /// Records go into this ring; none: nowhere. The clock begins now.
    pub fn new(ring: Option<Ring>) -> Self {
        Self { ring, start: Instant::now() }
    }

    /// Nanoseconds since the clock began.
    pub fn now_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Records one event now, with its fields `a` to `d`. The guest's clock is taken to be the host's.
    pub fn record(&self, lp: u16, kind: Kind, flags: u32, [a, b, c, d]: [u64; 4]) {
        let Some(ring) = &self.ring else { return };
        let now_ns = self.now_ns();
        ring.push(&Record { seq: 0, host_ns: now_ns, guest_ns: now_ns, lp, kind: kind as u16, flags, a, b, c, d });
    }
}
