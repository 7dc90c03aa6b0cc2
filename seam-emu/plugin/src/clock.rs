//! The clocks of the two modes.
//!
//! Parallel mode reads the host's monotonic clock and QEMU's virtual clock. Deterministic mode may read neither: the
//! virtual clock cannot be read in the middle of a block there. It counts the instructions that begin in each block, which
//! one inline addition per block does.

#![allow(unsafe_code, reason = "QEMU's clock is looked up by name; its scoreboards are C structures")]

use crate::ffi::{self, INLINE_ADD_U64, PerVcpuWord, Tb};
use rig_wire::plan::DETERMINISTIC_SHIFT;
use std::time::Instant;

type ClockFn = extern "C" fn(clock: libc::c_int) -> i64;

/// `QEMU_CLOCK_VIRTUAL` of QEMU's `include/qemu/timer.h`: time that stands still while the machine is stopped.
const CLOCK_VIRTUAL: libc::c_int = 1;

/// Time of the emulator: it goes on where a saved state left off.
pub(crate) struct Clock {
    base_ns: u64,
    source: Source,
    /// Instructions, where somebody asks for them.
    counter: Option<Counter>,
}

/// Where time comes from.
enum Source {
    /// Host and virtual clock; the latter is absent from a QEMU that does not export it.
    Parallel { start: Instant, guest: Option<ClockFn> },
    /// Executed instructions.
    Deterministic,
}

/// A count of instructions over all vCPUs.
struct Counter(PerVcpuWord);

// SAFETY: the scoreboard is QEMU's; it is made once, never freed, and QEMU serves it from any thread.
unsafe impl Send for Counter {}
// SAFETY: as above.
unsafe impl Sync for Counter {}

impl Clock {
    /// The clock of the mode, starting at `base_ns`. Counts instructions where it must or is asked to.
    pub(crate) fn new(deterministic: bool, counts: bool, base_ns: u64) -> Self {
        let parallel = || Source::Parallel { start: Instant::now(), guest: virtual_clock() };
        Self {
            base_ns,
            source: if deterministic { Source::Deterministic } else { parallel() },
            counter: (deterministic || counts).then(Counter::new),
        }
    }

    /// Nanoseconds by which the firmware measures the durations of its leaves.
    pub(crate) fn now_ns(&self) -> u64 {
        self.base_ns
            + match &self.source {
                Source::Parallel { start, .. } => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
                Source::Deterministic => self.counter.as_ref().map_or(0, Counter::ns),
            }
    }

    /// Host time of an event: 0 in deterministic mode.
    pub(crate) fn host_ns(&self) -> u64 {
        if matches!(self.source, Source::Deterministic) { 0 } else { self.now_ns() }
    }

    /// Guest time of an event; 0 when it cannot be read.
    pub(crate) fn guest_ns(&self) -> u64 {
        match &self.source {
            Source::Parallel { guest, .. } => guest.map_or(0, |f| u64::try_from(f(CLOCK_VIRTUAL)).unwrap_or(0)),
            Source::Deterministic => self.now_ns(),
        }
    }

    /// Instructions that a vCPU has executed; 0 where they are not counted.
    pub(crate) fn instructions(&self, lp: usize) -> u64 {
        self.counter.as_ref().map_or(0, |counter| counter.of(lp))
    }

    /// Lets a block count its instructions, where the mode needs it.
    pub(crate) fn instrument(&self, tb: *mut Tb, instructions: usize) {
        if let Some(counter) = &self.counter {
            // SAFETY: the block is valid during translation, the scoreboard for ever.
            unsafe {
                ffi::qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(
                    tb,
                    INLINE_ADD_U64,
                    counter.0,
                    instructions as u64,
                );
            }
        }
    }
}

impl Counter {
    fn new() -> Self {
        // SAFETY: allocates an entry of one word per vCPU.
        let scoreboard = unsafe { ffi::qemu_plugin_scoreboard_new(size_of::<u64>()) };
        Self(PerVcpuWord { scoreboard, offset: 0 })
    }

    fn of(&self, lp: usize) -> u64 {
        // SAFETY: the scoreboard lives for ever and has an entry for each vCPU that runs.
        unsafe { ffi::qemu_plugin_u64_get(self.0, lp as libc::c_uint) }
    }

    fn ns(&self) -> u64 {
        // SAFETY: the scoreboard lives for ever.
        unsafe { ffi::qemu_plugin_u64_sum(self.0) << DETERMINISTIC_SHIFT }
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
