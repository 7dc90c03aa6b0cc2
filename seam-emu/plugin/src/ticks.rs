//! Makes the first periodic tick of each secondary vCPU rarer.
//!
//! Until the kernel has chosen its clock source each online CPU has a periodic tick from its local APIC, and idle ones do not sleep through it. Emulated,
//! a tick passes twice through QEMU's one lock; 300 vCPUs have so many that nothing else gets on. Only the boot CPU's tick moves
//! the kernel's time (`tick_do_timer_cpu` of `kernel/time/tick-common.c`), so those of the others can be rarer, and the guest's clocks stay true.
//! A vCPU's timer is stretched the first time it is set to periodic, when the boot brings it up: one that comes back later ticks as it asks.

#![allow(unsafe_code, reason = "QEMU's functions are looked up by name")]

use crate::exported;
use std::ffi::{c_char, c_int, c_void};
use std::sync::atomic::{AtomicU8, Ordering};

/// x2APIC registers, as MSRs (SDM volume 3, "x2APIC Register Address Space"): LVT timer and initial count.
const LVT_TIMER: u32 = 0x832;
const INITIAL_COUNT: u32 = 0x838;
/// The latter by QEMU's number: an x2APIC MSR's, less 0x800.
const INITIAL_COUNT_INDEX: c_int = 0x38;
/// Bits 18:16 of the LVT timer register (SDM volume 3, "APIC Timer"): mode periodic, not masked.
const PERIODIC: u64 = 0b010;

/// A vCPU's timer was not yet set to periodic; it is; that was served.
const FRESH: u8 = 0;
const SET: u8 = 1;
const DONE: u8 = 2;

/// Where each vCPU's timer is, and by how much ticks are rarer.
pub(crate) struct Ticks {
    stretch: u32,
    timers: Vec<AtomicU8>,
    apic: Option<Apic>,
}

/// What QEMU 11.1 exports of its local APIC and its lock (`hw/i386/apic.h`, `system/cpus.c`).
struct Apic {
    current: extern "C" fn() -> *mut c_void,
    write: extern "C" fn(apic: *mut c_void, index: c_int, value: u64) -> c_int,
    lock: extern "C" fn(file: *const c_char, line: c_int),
    unlock: extern "C" fn(),
}

/// Whether WRMSR of this register concerns [`Ticks`].
pub(crate) fn is_of_timer(index: u32) -> bool {
    index == LVT_TIMER || index == INITIAL_COUNT
}

impl Ticks {
    /// Ticks of `vcpus` are `stretch` times rarer; 1: as the guest asks. A QEMU that does not export what that takes is only slower.
    pub(crate) fn new(stretch: u32, vcpus: usize) -> Self {
        let apic = if stretch > 1 { Apic::find() } else { None };
        Self { stretch, timers: (0..vcpus).map(|_| AtomicU8::new(FRESH)).collect(), apic }
    }

    /// WRMSR of this register with this value. True: it was served here.
    pub(crate) fn write(&self, vcpu: usize, index: u32, value: u64) -> bool {
        match (&self.apic, self.stretched(vcpu, index, value)) {
            (Some(apic), Some(count)) => apic.set_initial_count(count),
            _ => false,
        }
    }

    /// The count to use in place of the guest's.
    fn stretched(&self, vcpu: usize, index: u32, value: u64) -> Option<u64> {
        let timer = self.timers.get(vcpu).filter(|_| vcpu != 0 && self.stretch > 1)?;
        let state = timer.load(Ordering::Relaxed);
        match index {
            LVT_TIMER if state != DONE => {
                timer.store(if value >> 16 & 7 == PERIODIC { SET } else { FRESH }, Ordering::Relaxed);
                None
            }
            INITIAL_COUNT if state == SET && value != 0 => {
                timer.store(DONE, Ordering::Relaxed);
                Some((value * u64::from(self.stretch)).min(u64::from(u32::MAX)))
            }
            _ => None,
        }
    }
}

impl Apic {
    fn find() -> Option<Self> {
        let [current, write, lock, unlock] =
            exported::find([c"cpu_get_current_apic", c"apic_msr_write", c"bql_lock_impl", c"bql_unlock"])?;
        // SAFETY: functions of these names have these types in QEMU 11.1, of which alone the rig asks for it.
        unsafe {
            Some(Self {
                current: std::mem::transmute::<*mut c_void, extern "C" fn() -> *mut c_void>(current),
                write: std::mem::transmute::<*mut c_void, extern "C" fn(*mut c_void, c_int, u64) -> c_int>(write),
                lock: std::mem::transmute::<*mut c_void, extern "C" fn(*const c_char, c_int)>(lock),
                unlock: std::mem::transmute::<*mut c_void, extern "C" fn()>(unlock),
            })
        }
    }

    /// Does what QEMU's `helper_wrmsr()` does, on the running vCPU. False: QEMU refused, and nothing happened.
    fn set_initial_count(&self, count: u64) -> bool {
        (self.lock)(c"seam-plugin".as_ptr(), 0);
        let refused = (self.write)((self.current)(), INITIAL_COUNT_INDEX, count);
        (self.unlock)();
        refused == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const VECTOR: u64 = 0xec;
    const MASKED: u64 = 1 << 16;
    const IN_PERIODS: u64 = 1 << 17;

    fn ticks() -> Ticks {
        Ticks { stretch: 8, timers: (0..3).map(|_| AtomicU8::new(FRESH)).collect(), apic: None }
    }

    #[test]
    fn the_first_periodic_timer_of_a_secondary_vcpu_is_stretched_once() {
        let ticks = ticks();
        let set = |vcpu| {
            assert_eq!(ticks.stretched(vcpu, LVT_TIMER, VECTOR | IN_PERIODS), None);
            ticks.stretched(vcpu, INITIAL_COUNT, 625_000)
        };
        assert_eq!([0, 1, 2, 1].map(set), [None, Some(5_000_000), Some(5_000_000), None]);
    }

    #[test]
    fn one_shot_and_masked_timers_are_the_guests() {
        let ticks = ticks();
        for lvt in [VECTOR, VECTOR | IN_PERIODS | MASKED, VECTOR | 1 << 18] {
            ticks.stretched(1, LVT_TIMER, lvt);
            assert_eq!(ticks.stretched(1, INITIAL_COUNT, u64::from(u32::MAX)), None, "{lvt:#x}");
        }
    }

    #[test]
    fn a_count_keeps_within_its_register_and_a_stopped_timer_stopped() {
        let ticks = ticks();
        ticks.stretched(2, LVT_TIMER, IN_PERIODS);
        assert_eq!(ticks.stretched(2, INITIAL_COUNT, 0), None);
        assert_eq!(ticks.stretched(2, INITIAL_COUNT, 0x4000_0000), Some(0xffff_ffff));
    }

    #[test]
    fn a_stretch_of_one_changes_nothing() {
        let ticks = Ticks::new(1, 2);
        assert!(!ticks.write(1, LVT_TIMER, IN_PERIODS) && !ticks.write(1, INITIAL_COUNT, 5));
    }
}
