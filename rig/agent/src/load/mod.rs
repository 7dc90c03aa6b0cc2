//! Loads that the agent makes in the guest: threads that repeat one operation and count what came of it.

mod arrival;
mod clocksource;
mod hotplug;
mod memory;
mod module_loop;
mod pressure;
mod profile;
mod reader;
mod seamcall;
mod tally;
mod text_patching;
mod timer;
mod trust_domain;

use crate::failure;
use profile::{Finish, Step, Work};
use rig_wire::agent::{Failure, Load, LoadReport};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tally::Tally;

/// Threads of one load at most.
const MAX_THREADS: usize = 4096;

/// All loads that run.
#[derive(Default)]
pub struct Loads {
    running: Mutex<Vec<Running>>,
}

impl Loads {
    /// Starts a load and returns when all its threads run.
    pub fn start(&self, load: &Load) -> Result<(), Failure> {
        let running = Running::start(profile::name(load), profile::work(load)?)?;
        self.running.lock().unwrap_or_else(PoisonError::into_inner).push(running);
        Ok(())
    }

    /// Stops all loads, waits for their threads and says what they did.
    pub fn stop(&self) -> Vec<LoadReport> {
        let running = std::mem::take(&mut *self.running.lock().unwrap_or_else(PoisonError::into_inner));
        for load in &running {
            load.stop.store(true, Ordering::Release);
        }
        running.into_iter().map(Running::finish).collect()
    }
}

/// One load.
struct Running {
    name: &'static str,
    started: Instant,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
    finish: Option<Finish>,
}

impl Running {
    fn start(name: &'static str, work: Work) -> Result<Self, Failure> {
        let Work { steps, finish } = work;
        if steps.is_empty() || steps.len() > MAX_THREADS {
            let why = format!("a load of {} threads: it takes 1 to {MAX_THREADS}", steps.len());
            return Err(failure::refused(libc::EINVAL, why));
        }
        let stop = Arc::new(AtomicBool::new(false));
        let tally = Arc::new(Tally::default());
        let mut running = Self { name, started: Instant::now(), stop, tally, threads: Vec::new(), finish };
        let gate = Arc::new(Barrier::new(steps.len() + 1));
        for step in steps {
            let thread = running.spawn(step, &gate);
            running.threads.push(thread.map_err(|e| failure::from_io("start a load's thread", &e))?);
        }
        gate.wait();
        running.started = Instant::now();
        Ok(running)
    }

    fn spawn(&self, mut repeated: Step, gate: &Arc<Barrier>) -> io::Result<JoinHandle<()>> {
        let (gate, stop, tally) = (Arc::clone(gate), Arc::clone(&self.stop), Arc::clone(&self.tally));
        thread::Builder::new().name(self.name.into()).stack_size(64 << 10).spawn(move || {
            gate.wait();
            // At least once, so that a load that was stopped at once still shows whether it works.
            tally.count(repeated());
            while !stop.load(Ordering::Acquire) {
                tally.count(repeated());
            }
        })
    }

    fn finish(self) -> LoadReport {
        for thread in self.threads {
            thread.join().expect("a load's thread that panics powers the machine off");
        }
        let elapsed = self.started.elapsed();
        let last = self.finish.map(|finish| finish(&self.tally)).unwrap_or_default();
        LoadReport { counts: last.counts, chains: last.chains, ..self.tally.report(self.name, elapsed) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_reported_in_their_order_with_their_errors() {
        let loads = Loads::default();
        loads.start(&Load::CpuHog { threads: 2 }).unwrap();
        loads.start(&Load::Reader { paths: vec!["/proc/no-such-file".into()], threads: 1, only: Vec::new() }).unwrap();
        loads.start(&Load::PageFault { threads: 1, kib: 64 }).unwrap();
        loads.start(&Load::Timer { period_us: 1000 }).unwrap();
        thread::sleep(std::time::Duration::from_millis(20));
        let reports = loads.stop();
        let names: Vec<_> = reports.iter().map(|r| r.name.as_str()).collect();
        assert_eq!(names, ["cpu-hog", "reader", "page-fault", "timer"]);
        let broken = &reports[1];
        assert_eq!(broken.operations, 0);
        assert!(broken.errors > 0 && broken.first_error.as_ref().unwrap().contains("no-such-file"), "{broken:?}");
        for sound in [&reports[0], &reports[2], &reports[3]] {
            assert!(sound.operations > 0 && sound.errors == 0 && sound.elapsed_ms >= 20, "{sound:?}");
        }
        assert!(loads.stop().is_empty());
    }

    #[test]
    fn cannot_start_a_load_of_no_threads_or_too_many() {
        for threads in [0, u32::try_from(MAX_THREADS).unwrap() + 1] {
            let failure = Loads::default().start(&Load::CpuHog { threads }).unwrap_err();
            assert_eq!(failure.errno, Some(libc::EINVAL));
        }
    }
}
