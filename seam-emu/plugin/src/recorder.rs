//! Puts what happened into the event ring.

#![allow(
    unsafe_code,
    reason = "QEMU's virtual clock is looked up by name, because the plugin interface does not offer it"
)]

use rig_wire::event::{Kind, Record};
use rig_wire::ring::Ring;
use std::time::Instant;

type ClockFn = extern "C" fn(clock: libc::c_int) -> i64;

/// `QEMU_CLOCK_VIRTUAL` of QEMU's `include/qemu/timer.h`: time that stands still while the machine is stopped.
const CLOCK_VIRTUAL: libc::c_int = 1;

/// Writes records; without a ring it writes nothing.
#[derive(Debug)]
pub(crate) struct Recorder {
    ring: Option<Ring>,
    start: Instant,
    clock: Option<ClockFn>,
}

impl Recorder {
    /// `host_clocks` is false in deterministic mode, where no clock may be read inside a block.
    pub(crate) fn new(ring: Option<Ring>, host_clocks: bool) -> Self {
        Self { ring, start: Instant::now(), clock: if host_clocks { virtual_clock() } else { None } }
    }

    /// Host nanoseconds since the emulator started.
    pub(crate) fn host_ns(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX)
    }

    /// Records one event now. A loss is counted in the ring, and ends the run on the rig's side.
    pub(crate) fn record(&self, lp: u16, kind: Kind, flags: u32, [a, b, c, d]: [u64; 4]) {
        let Some(ring) = &self.ring else { return };
        let guest_ns = self.clock.map_or(0, |clock| u64::try_from(clock(CLOCK_VIRTUAL)).unwrap_or(0));
        ring.push(&Record { seq: 0, host_ns: self.host_ns(), guest_ns, lp, kind: kind as u16, flags, a, b, c, d });
    }
}

fn virtual_clock() -> Option<ClockFn> {
    // SAFETY: dlsym on the process itself; QEMU's function of this name has this type (`int64_t (QEMUClockType)`) since
    // QEMU 1.6, and a process without it yields null.
    unsafe {
        let address = libc::dlsym(libc::RTLD_DEFAULT, c"qemu_clock_get_ns".as_ptr());
        if address.is_null() { None } else { Some(std::mem::transmute::<*mut libc::c_void, ClockFn>(address)) }
    }
}
