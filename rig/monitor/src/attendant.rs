//! What happens to a TD's vCPUs from outside while they run: interrupts that wake them, moves to other CPUs, kicks.

#![allow(unsafe_code, reason = "a signal to one thread, which no library offers without its handle")]

use crate::common::Common;
use crate::{MonitorError, cpus};
use kvm_bindings::kvm_msi;
use nix::unistd::Pid;
use rig_wire::td::{Placement, TdPlan};
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use vmm_sys_util::signal::{SIGRTMIN, register_signal_handler};

/// Stands in place of the id of a thread that has ended.
pub(crate) const ENDED: i32 = -1;
/// Vector of the interrupts that wake a TD.
const VECTOR: u32 = 0x40;
/// Address of a message-signalled interrupt; the destination's APIC id stands in bits 19:12.
const MSI_ADDRESS: u32 = 0xFEE0_0000;
/// Rounds of interrupts between two moves of a migrating thread.
const ROUNDS_PER_MOVE: u64 = 8;

/// How often one vCPU was woken and moved.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AttendantCounts {
    pub(crate) wakes: u64,
    pub(crate) moves: u64,
}

extern "C" fn kicked(_: libc::c_int, _: *mut libc::siginfo_t, _: *mut libc::c_void) {}

/// Lets kicks interrupt `KVM_RUN` and do nothing else.
pub(crate) fn take_kicks() -> Result<(), MonitorError> {
    register_signal_handler(SIGRTMIN(), kicked).map_err(MonitorError::refused("take over a signal"))
}

/// Attends to one TD.
pub(crate) struct Attendant {
    common: Arc<Common>,
    threads: Vec<Arc<AtomicI32>>,
    migrating: bool,
    pause: Duration,
    cpus: Vec<usize>,
    counts: Vec<AttendantCounts>,
}

impl Attendant {
    pub(crate) fn new(common: Arc<Common>, threads: Vec<Arc<AtomicI32>>, plan: &TdPlan, cpus: Vec<usize>) -> Self {
        let counts = vec![AttendantCounts::default(); threads.len()];
        let pause = Duration::from_micros(plan.wake_us.max(1).into());
        Self { common, threads, migrating: plan.placement == Placement::Migrating, pause, cpus, counts }
    }

    pub(crate) fn spawn(mut self) -> Result<JoinHandle<Vec<AttendantCounts>>, MonitorError> {
        let thread = thread::Builder::new().name("td-attendant".into()).stack_size(64 << 10).spawn(move || {
            let mut round = 0;
            while self.attend(round) {
                thread::sleep(self.pause);
                round += 1;
            }
            self.counts
        });
        thread.map_err(MonitorError::io("start a TD's attendant"))
    }

    /// One round; false when all threads have ended.
    fn attend(&mut self, round: u64) -> bool {
        let mut alive = false;
        for index in 0..self.threads.len() {
            let thread = self.threads[index].load(Ordering::Acquire);
            if thread == ENDED {
                continue;
            }
            alive = true;
            if self.common.give_up.load(Ordering::Acquire) {
                kick(thread);
            } else {
                self.wake(index);
                if self.migrating && round % ROUNDS_PER_MOVE == ROUNDS_PER_MOVE - 1 {
                    self.move_on(index, thread, round / ROUNDS_PER_MOVE);
                }
            }
        }
        alive
    }

    fn wake(&mut self, index: usize) {
        let msi = kvm_msi { address_lo: MSI_ADDRESS | (index as u32) << 12, data: VECTOR, ..Default::default() };
        // A vCPU that has not switched its APIC on takes none; it will be asked again.
        self.counts[index].wakes += u64::from(self.common.vm.signal_msi(msi).is_ok_and(|taken| taken > 0));
    }

    /// A CPU that is offline now is passed over.
    fn move_on(&mut self, index: usize, thread: i32, turn: u64) {
        let Some(cpu) = self.cpus.get((index + turn as usize) % self.cpus.len().max(1)) else { return };
        if thread != 0 {
            self.counts[index].moves += u64::from(cpus::bind(Pid::from_raw(thread), *cpu));
        }
    }
}

fn kick(thread: i32) {
    if thread > 0 {
        // SAFETY: no memory is passed. The thread belongs to this process; if it has just ended, the call fails.
        unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), thread, SIGRTMIN()) };
    }
}
