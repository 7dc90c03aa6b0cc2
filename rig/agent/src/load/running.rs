//! One load that runs.

use super::tally::Tally;
use super::work::{Finish, Step, Work};
use crate::failure;
use rig_wire::agent::{Failure, LoadReport};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread::{self, JoinHandle};
use std::time::Instant;

/// Threads of one load at most.
pub(super) const MAX_THREADS: usize = 4096;

/// One load.
pub(super) struct Running {
    name: &'static str,
    started: Instant,
    stop: Arc<AtomicBool>,
    tally: Arc<Tally>,
    threads: Vec<JoinHandle<()>>,
    finish: Option<Finish>,
}

impl Running {
    /// Starts its threads, and returns when all of them run.
    pub(super) fn start(name: &'static str, work: Work) -> Result<Self, Failure> {
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
            // There is no receiver when another thread could not be started.
            let _ = arrive.send(());
            drop(door.read());
            // At least once, so that a load that was stopped at once still shows whether it works.
            tally.count(repeated());
            while !stop.load(Ordering::Acquire) {
                tally.count(repeated());
            }
        })
    }

    /// Has its threads end after what they are doing.
    pub(super) fn ask_to_stop(&self) {
        self.stop.store(true, Ordering::Release);
    }

    /// Waits for its threads. One that panicked is an error of the load; in the agent the machine is powered off then.
    pub(super) fn finish(self) -> LoadReport {
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

    /// A load that panics is reported as one that failed, and the others end as usual.
    #[test]
    fn a_thread_that_panics_is_an_error_of_its_load() {
        let steps: Vec<Step> = vec![Box::new(|| panic!("on purpose"))];
        let report = Running::start("broken", Work { steps, finish: None }).unwrap().finish();
        assert_eq!((report.operations, report.errors), (0, 1));
        assert_eq!(report.first_error.as_deref(), Some("a thread of the load panicked"));
    }
}
