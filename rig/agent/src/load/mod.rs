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
use crate::gate::Gate;
use crate::machine::Machine;
use profile::{Finish, Step, Work};
use rig_wire::agent::{Failure, Load, LoadReport};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;
use tally::Tally;

/// Threads of one load at most.
const MAX_THREADS: usize = 4096;

/// Where loads work: the machine, and the gate between them and its updates.
#[derive(Clone, Debug, Default)]
struct Place {
    machine: Machine,
    gate: Arc<Gate>,
}

/// All loads that run. They end with this value at the latest.
#[derive(Default)]
pub struct Loads {
    place: Place,
    running: Mutex<Vec<Running>>,
}

impl Loads {
    /// No loads yet, on this machine.
    pub fn on(machine: Machine) -> Self {
        Self { place: Place { machine, gate: Arc::default() }, running: Mutex::default() }
    }

    /// The machine whose settings they change.
    pub(crate) fn machine(&self) -> &Machine {
        &self.place.machine
    }

    /// What keeps them and updates apart.
    pub(crate) fn gate(&self) -> &Gate {
        &self.place.gate
    }

    /// Starts a load and returns when all its threads run.
    pub fn start(&self, load: &Load) -> Result<(), Failure> {
        let running = Running::start(profile::name(load), profile::work(load, &self.place)?)?;
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

impl Drop for Loads {
    /// Whoever goes away without having stopped them, by an error perhaps, leaves no thread and no CPU offline behind.
    fn drop(&mut self) {
        self.stop();
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
        let door = Arc::new(RwLock::new(()));
        let shut = door.write().unwrap_or_else(PoisonError::into_inner);
        let (arrive, arrived) = mpsc::channel();
        for step in steps {
            let thread = running.spawn(step, &door, &arrive);
            match thread {
                Ok(thread) => running.threads.push(thread),
                Err(error) => {
                    running.stop.store(true, Ordering::Release);
                    drop(shut);
                    running.finish();
                    return Err(failure::from_io("start a load's thread", &error));
                }
            }
        }
        arrived.iter().take(running.threads.len()).for_each(drop);
        drop(shut);
        running.started = Instant::now();
        Ok(running)
    }

    /// A thread that says that it has arrived, and begins when the door opens.
    fn spawn(&self, mut repeated: Step, door: &Arc<RwLock<()>>, arrive: &Sender<()>) -> io::Result<JoinHandle<()>> {
        let (door, stop, tally) = (Arc::clone(door), Arc::clone(&self.stop), Arc::clone(&self.tally));
        let arrive = arrive.clone();
        thread::Builder::new().name(self.name.into()).stack_size(64 << 10).spawn(move || {
            // Nobody waits for it when another thread could not be started.
            let _ = arrive.send(());
            drop(door.read());
            // At least once, so that a load that was stopped at once still shows whether it works.
            tally.count(repeated());
            while !stop.load(Ordering::Acquire) {
                tally.count(repeated());
            }
        })
    }

    /// Waits for its threads. One that panicked is an error of the load; in the agent the machine is powered off then.
    fn finish(self) -> LoadReport {
        for thread in self.threads {
            if thread.join().is_err() {
                self.tally.count(Err("a thread of the load panicked".into()));
            }
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

    /// A load that panics is told as one that failed, and the others end as ever.
    #[test]
    fn a_thread_that_panics_is_an_error_of_its_load() {
        let steps: Vec<Step> = vec![Box::new(|| panic!("on purpose"))];
        let report = Running::start("broken", Work { steps, finish: None }).unwrap().finish();
        assert_eq!((report.operations, report.errors), (0, 1));
        assert_eq!(report.first_error.as_deref(), Some("a thread of the load panicked"));
    }

    /// Whoever drops them stops them: the step, and what it holds, is gone.
    #[test]
    fn loads_end_with_their_owner() {
        let held = Arc::new(());
        let (loads, copy) = (Loads::default(), Arc::clone(&held));
        let steps: Vec<Step> = vec![Box::new(move || Ok(u64::from(Arc::strong_count(&copy) > 0)))];
        loads.running.lock().unwrap().push(Running::start("held", Work { steps, finish: None }).unwrap());
        assert_eq!(Arc::strong_count(&held), 2);
        drop(loads);
        assert_eq!(Arc::strong_count(&held), 1);
    }

    #[test]
    fn cannot_start_a_load_of_no_threads_or_too_many() {
        for threads in [0, u32::try_from(MAX_THREADS).unwrap() + 1] {
            let failure = Loads::default().start(&Load::CpuHog { threads }).unwrap_err();
            assert_eq!(failure.errno, Some(libc::EINVAL));
        }
    }
}
