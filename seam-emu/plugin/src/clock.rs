//! The clocks of the two modes.
//!
//! Parallel mode reads the host's monotonic clock and QEMU's virtual clock. Deterministic mode may read neither: the
//! virtual clock cannot be read in the middle of a block there. It counts the instructions that begin in each block, by a
//! callback: an inline addition to a scoreboard, which parallel mode uses where a hold waits for instructions, spoils blocks of
//! QEMU 11.1's single-thread mode, since it scales the vCPU's index in place, and that is a shared constant there
//! (`gen_plugin_u64_ptr` in `accel/tcg/plugin-gen.c`; seen as wrong constants in the guest's code on all vCPUs but the first).

#![allow(unsafe_code, reason = "QEMU's clock is looked up by name; its scoreboards are C structures")]

use crate::exported;
use crate::ffi::{self, INLINE_ADD_U64, PerVcpuWord, Tb};
use rig_wire::plan::DETERMINISTIC_SHIFT;
use std::sync::atomic::{AtomicU64, Ordering};
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
    /// How often held LPs gave way.
    turns: AtomicU64,
}

/// What a turn of a held LP counts for.
const TURN_NS: u64 = 1000;

/// Where time comes from.
enum Source {
    /// Host and virtual clock; the latter is absent from a QEMU that does not export it.
    Parallel { start: Instant, guest: Option<ClockFn> },
    /// Instructions that all vCPUs have executed.
    Deterministic { executed: AtomicU64 },
}

/// A count of each vCPU's instructions.
enum Counter {
    /// QEMU adds to a scoreboard.
    Inline(PerVcpuWord),
    /// A callback tells, where one thread runs all vCPUs.
    Told(Vec<AtomicU64>),
}

// SAFETY: the scoreboard is QEMU's; it is made once, never freed, and QEMU serves it from any thread.
unsafe impl Send for Counter {}
// SAFETY: as above.
unsafe impl Sync for Counter {}

impl Clock {
    /// The clock of the mode, starting at `base_ns`. Counts instructions where it must or is asked to.
    pub(crate) fn new(deterministic: bool, (counts, vcpus): (bool, usize), base_ns: u64) -> Self {
        let parallel = || Source::Parallel { start: Instant::now(), guest: virtual_clock() };
        Self {
            base_ns,
            source: if deterministic { Source::Deterministic { executed: AtomicU64::new(0) } } else { parallel() },
            counter: counts.then(|| if deterministic { Counter::told(vcpus) } else { Counter::inline() }),
            turns: AtomicU64::new(0),
        }
    }

    /// Nanoseconds by which the firmware measures the durations of its leaves.
    pub(crate) fn now_ns(&self) -> u64 {
        self.base_ns
            + match &self.source {
                Source::Parallel { start, .. } => u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX),
                Source::Deterministic { executed } => executed.load(Ordering::Relaxed) << DETERMINISTIC_SHIFT,
            }
    }

    /// Nanoseconds by which holds are measured: each time that a held LP of a deterministic machine gives way counts as
    /// [`TURN_NS`], since a machine in which all but it spin makes little time of its own.
    pub(crate) fn holding_ns(&self) -> u64 {
        self.now_ns() + self.turns.load(Ordering::Relaxed) * TURN_NS
    }

    /// A held LP gave way.
    pub(crate) fn count_turn(&self) {
        self.turns.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether it counts instructions.
    pub(crate) fn is_deterministic(&self) -> bool {
        matches!(self.source, Source::Deterministic { .. })
    }

    /// Host time of an event: 0 in deterministic mode.
    pub(crate) fn host_ns(&self) -> u64 {
        if self.is_deterministic() { 0 } else { self.now_ns() }
    }

    /// Guest time of an event; 0 when it cannot be read.
    pub(crate) fn guest_ns(&self) -> u64 {
        match &self.source {
            Source::Parallel { guest, .. } => guest.map_or(0, |f| u64::try_from(f(CLOCK_VIRTUAL)).unwrap_or(0)),
            Source::Deterministic { .. } => self.now_ns(),
        }
    }

    /// Instructions that a vCPU has executed; 0 where they are not counted.
    pub(crate) fn instructions(&self, lp: usize) -> u64 {
        self.counter.as_ref().map_or(0, |counter| counter.of(lp))
    }

    /// Whether each block must tell how many instructions it begins, by [`Clock::count`].
    pub(crate) fn wants_counts(&self) -> bool {
        self.is_deterministic()
    }

    /// A vCPU begins so many instructions; `lp` tells which, for whom that matters. Only the one thread of a deterministic machine
    /// calls this.
    pub(crate) fn count(&self, instructions: u64, lp: impl FnOnce() -> usize) {
        let add = |to: &AtomicU64| to.store(to.load(Ordering::Relaxed) + instructions, Ordering::Relaxed);
        if let Source::Deterministic { executed } = &self.source {
            add(executed);
        }
        if let Some(Counter::Told(of)) = &self.counter {
            add(&of[lp()]);
        }
    }

    /// Lets a block add its instructions to the scoreboard, where there is one.
    pub(crate) fn instrument(&self, tb: *mut Tb, instructions: usize) {
        if let Some(Counter::Inline(word)) = &self.counter {
            let count = instructions as u64;
            // SAFETY: the block is valid during translation, the scoreboard for ever.
            unsafe { ffi::qemu_plugin_register_vcpu_tb_exec_inline_per_vcpu(tb, INLINE_ADD_U64, *word, count) }
        }
    }
}

impl Counter {
    fn inline() -> Self {
        // SAFETY: allocates an entry of one word per vCPU.
        let scoreboard = unsafe { ffi::qemu_plugin_scoreboard_new(size_of::<u64>()) };
        Self::Inline(PerVcpuWord { scoreboard, offset: 0 })
    }

    fn told(vcpus: usize) -> Self {
        Self::Told((0..vcpus).map(|_| AtomicU64::new(0)).collect())
    }

    fn of(&self, lp: usize) -> u64 {
        match self {
            // SAFETY: the scoreboard lives for ever and has an entry for each vCPU that runs.
            Self::Inline(word) => unsafe { ffi::qemu_plugin_u64_get(*word, lp as libc::c_uint) },
            Self::Told(of) => of[lp].load(Ordering::Relaxed),
        }
    }
}

fn virtual_clock() -> Option<ClockFn> {
    let [address] = exported::find([c"qemu_clock_get_ns"])?;
    // SAFETY: QEMU's function of this name has this type (`int64_t (QEMUClockType)`) since QEMU 1.6.
    Some(unsafe { std::mem::transmute::<*mut libc::c_void, ClockFn>(address) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_deterministic_clock_counts_and_nothing_else() {
        let source = Source::Deterministic { executed: AtomicU64::new(0) };
        let clock = Clock { base_ns: 100, source, counter: Some(Counter::told(2)), turns: AtomicU64::new(0) };
        clock.count(10, || 1);
        clock.count(5, || 0);
        assert_eq!((clock.now_ns(), clock.host_ns()), (100 + (15 << DETERMINISTIC_SHIFT), 0));
        let Some(Counter::Told(of)) = &clock.counter else { panic!() };
        assert_eq!(of.iter().map(|n| n.load(Ordering::Relaxed)).collect::<Vec<_>>(), [5, 10]);
        clock.count_turn();
        assert_eq!(clock.holding_ns() - clock.now_ns(), TURN_NS);
    }
}
