//! Puts what happened into the event ring.

use crate::clock::Clock;
use rig_wire::event::{self, Kind, Record};
use rig_wire::ring::Ring;
use std::sync::atomic::{AtomicU64, Ordering};

/// Writes records; without a ring it writes nothing.
pub(crate) struct Recorder {
    ring: Option<Ring>,
    /// Time of the events.
    pub(crate) clock: Clock,
    /// When the last event was recorded that shows that some LP gets on, by [`Clock::now_ns`].
    progress_ns: AtomicU64,
}

impl Recorder {
    /// A recorder into this ring.
    pub(crate) fn new(ring: Option<Ring>, clock: Clock) -> Self {
        let progress_ns = AtomicU64::new(clock.now_ns());
        Self { ring, clock, progress_ns }
    }

    /// Records one event now. A loss is counted in the ring, and ends the run on the rig's side.
    pub(crate) fn record(&self, lp: u16, kind: Kind, flags: u32, [a, b, c, d]: [u64; 4]) {
        let is_load = kind == Kind::Watch && flags & event::flags::STORE == 0;
        if !is_load && self.clock.is_deterministic() {
            self.progress_ns.store(self.clock.now_ns(), Ordering::Relaxed);
        }
        let Some(ring) = &self.ring else { return };
        let (host_ns, guest_ns) = (self.clock.host_ns(), self.clock.guest_ns());
        ring.push(&Record { seq: 0, host_ns, guest_ns, lp, kind: kind as u16, flags, a, b, c, d });
    }

    /// For how long nothing but loads was recorded, nanoseconds.
    pub(crate) fn idle_ns(&self) -> u64 {
        self.clock.now_ns().saturating_sub(self.progress_ns.load(Ordering::Relaxed))
    }
}
