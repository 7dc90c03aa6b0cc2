//! Puts what happened into the event ring.

use crate::clock::Clock;
use rig_wire::event::{Kind, Record};
use rig_wire::ring::Ring;

/// Writes records; without a ring it writes nothing.
pub(crate) struct Recorder {
    ring: Option<Ring>,
    /// Time of the events.
    pub(crate) clock: Clock,
}

impl Recorder {
    /// A recorder into this ring.
    pub(crate) fn new(ring: Option<Ring>, clock: Clock) -> Self {
        Self { ring, clock }
    }

    /// Records one event now. A loss is counted in the ring, and ends the run on the rig's side.
    pub(crate) fn record(&self, lp: u16, kind: Kind, flags: u32, [a, b, c, d]: [u64; 4]) {
        let Some(ring) = &self.ring else { return };
        let (host_ns, guest_ns) = (self.clock.host_ns(), self.clock.guest_ns());
        ring.push(&Record { seq: 0, host_ns, guest_ns, lp, kind: kind as u16, flags, a, b, c, d });
    }
}
