//! A TD that runs: a thread for each vCPU, and one that attends to them.

use crate::attendant::{self, AttendantCounts};
use crate::common::Common;
use crate::td::Td;
use crate::{MonitorError, cpus, vcpu};
use kvm_ioctls::VcpuFd;
use nix::unistd::{Pid, gettid};
use rig_wire::td::{Placement, TdPlan, TdReport, VcpuReport};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::thread::{self, JoinHandle};

/// Stack of a vCPU's thread, bytes.
const STACK: usize = 64 << 10;

/// A TD whose vCPUs run.
#[derive(Debug)]
pub struct Running {
    common: Arc<Common>,
    stop_words: Vec<u64>,
    threads: Vec<JoinHandle<VcpuReport>>,
    attendant: JoinHandle<Vec<AttendantCounts>>,
}

impl Running {
    /// Starts the vCPUs of a TD. `number` says which TD of how many this is, so that pinned ones spread over the CPUs.
    pub fn start(td: Td, plan: &TdPlan, number: usize) -> Result<Self, MonitorError> {
        attendant::take_kicks()?;
        let Td { vcpus, vm, memory } = td;
        let common = Arc::new(Common { vm, memory, give_up: AtomicBool::new(false) });
        let cpus = cpus::usable();
        let mut threads = Vec::new();
        let mut ids = Vec::new();
        for (index, fd) in vcpus.into_iter().enumerate() {
            let place = (number * plan.vcpus.len() + index) % cpus.len().max(1);
            let pinned = if plan.placement == Placement::Free { None } else { cpus.get(place).copied() };
            let id = Arc::new(AtomicI32::new(0));
            ids.push(Arc::clone(&id));
            threads.push(spawn(fd, &common, id, pinned)?);
        }
        let attendant = attendant::Attendant::new(Arc::clone(&common), ids, plan, cpus).spawn()?;
        let stop_words = plan.vcpus.iter().map(|vcpu| vcpu.stop_word).collect();
        Ok(Self { common, stop_words, threads, attendant })
    }

    /// Asks the TD to end.
    pub fn ask_to_end(&self) -> Result<(), MonitorError> {
        self.stop_words.iter().try_for_each(|word| self.common.memory.put(*word, 1))
    }

    /// Has its threads leave at once, wherever the TD is.
    pub fn give_up(&self) {
        self.common.give_up.store(true, Ordering::Release);
    }

    /// Waits for the end, destroys the TD, and says what became of it.
    pub fn finish(self) -> TdReport {
        let join = |thread: JoinHandle<VcpuReport>| thread.join().expect("a vCPU's thread does not panic");
        let mut vcpus: Vec<_> = self.threads.into_iter().map(join).collect();
        let counts = self.attendant.join().expect("an attendant does not panic");
        for (report, counts) in vcpus.iter_mut().zip(counts) {
            (report.wakes, report.moves) = (counts.wakes, counts.moves);
        }
        TdReport { vcpus }
    }
}

fn spawn(
    mut fd: VcpuFd,
    common: &Arc<Common>,
    id: Arc<AtomicI32>,
    pinned: Option<usize>,
) -> Result<JoinHandle<VcpuReport>, MonitorError> {
    let common = Arc::clone(common);
    let thread = thread::Builder::new().name("td-vcpu".into()).stack_size(STACK).spawn(move || {
        if let Some(cpu) = pinned {
            cpus::bind(Pid::from_raw(0), cpu);
        }
        id.store(gettid().as_raw(), Ordering::Release);
        let report = vcpu::run(&mut fd, &common);
        id.store(attendant::ENDED, Ordering::Release);
        report
    });
    thread.map_err(MonitorError::io("start a vCPU's thread"))
}
