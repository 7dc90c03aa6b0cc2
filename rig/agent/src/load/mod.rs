//! Loads that the agent makes in the guest: threads that repeat one operation and count what came of it.

mod arrival;
mod clocksource;
mod hotplug;
mod memory;
mod module_loop;
mod place;
mod pressure;
mod profile;
mod reader;
mod running;
mod seamcall;
mod tally;
mod text_patching;
mod timer;
mod trust_domain;
mod work;

use crate::gate::Gate;
use crate::machine::Machine;
use place::Place;
use rig_wire::agent::{Failure, Load, LoadReport};
use running::Running;
use std::sync::{Arc, Mutex, PoisonError};

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
            load.ask_to_stop();
        }
        running.into_iter().map(Running::finish).collect()
    }
}

impl Drop for Loads {
    /// Stops the loads where their owner did not, perhaps because of an error, so that no thread and no offline CPU stays behind.
    fn drop(&mut self) {
        self.stop();
    }
}

#[cfg(test)]
mod tests {
    use super::work::{Step, Work};
    use super::*;
    use running::MAX_THREADS;
    use std::thread;

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

    /// Loads that are dropped are stopped: the step of a load, and what it holds, is gone then.
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
