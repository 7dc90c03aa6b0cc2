//! TDs that are built, run and destroyed in loops.

use crate::{Host, MonitorError, Running, Stage};
use rig_wire::td::{Churn, ChurnReport};
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a TD that is to be given up while it runs may run.
const SHORT_LIFE: Duration = Duration::from_millis(5);

/// Threads that churn.
#[derive(Debug)]
pub struct Churner {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

#[derive(Debug)]
struct Shared {
    host: Host,
    churn: Churn,
    stop: AtomicBool,
    begun: AtomicU32,
    totals: Mutex<ChurnTotals>,
}

#[derive(Debug, Default)]
struct ChurnTotals {
    report: ChurnReport,
    said: BTreeMap<Vec<Vec<u64>>, u64>,
    refused: BTreeMap<String, u64>,
}

/// The life of one TD.
enum Life {
    Completed(Vec<Vec<u64>>),
    Abandoned,
    Refused(String),
}

impl Churner {
    /// Starts the threads.
    pub fn start(churn: Churn) -> Result<Self, MonitorError> {
        let threads = churn.threads;
        let (stop, begun) = (AtomicBool::new(false), AtomicU32::new(0));
        let shared = Arc::new(Shared { host: Host::open()?, churn, stop, begun, totals: Mutex::default() });
        let spawn = |_| {
            let shared = Arc::clone(&shared);
            let thread = thread::Builder::new().name("td-churn".into()).stack_size(256 << 10);
            thread.spawn(move || shared.work()).map_err(MonitorError::io("start a thread that churns"))
        };
        let threads = (0..threads).map(spawn).collect::<Result<_, _>>()?;
        Ok(Self { shared, threads })
    }

    /// Begins no more TDs, waits for those under way and says what came of all. With `when_done`, all that were asked for
    /// are begun first.
    pub fn finish(self, when_done: bool) -> ChurnReport {
        if !when_done {
            self.shared.stop.store(true, Ordering::Release);
        }
        for thread in self.threads {
            thread.join().expect("a thread that churns does not panic");
        }
        let mut totals = self.shared.totals();
        let mut report = std::mem::take(&mut totals.report);
        report.said = std::mem::take(&mut totals.said).into_iter().collect();
        report.refused = std::mem::take(&mut totals.refused).into_iter().collect();
        report
    }
}

impl Shared {
    fn totals(&self) -> std::sync::MutexGuard<'_, ChurnTotals> {
        self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        while !self.stop.load(Ordering::Acquire) {
            let number = self.begun.fetch_add(1, Ordering::Relaxed);
            if self.churn.limit.is_some_and(|limit| number >= limit) || self.totals().report.error.is_some() {
                return;
            }
            let life = self.run_one(number);
            let totals = &mut *self.totals();
            match life {
                Ok(Life::Completed(said)) => {
                    totals.report.completed += 1;
                    *totals.said.entry(said).or_default() += 1;
                }
                Ok(Life::Abandoned) => totals.report.abandoned += 1,
                Ok(Life::Refused(why)) => *totals.refused.entry(why).or_default() += 1,
                Err(why) => drop(totals.report.error.get_or_insert(why)),
            }
        }
    }

    /// When a TD is given up: each one at the stage after that of the one before.
    fn fate(&self, number: u32) -> Option<Stage> {
        let every = self.churn.abandon_every;
        let due = every > 0 && number % every == every - 1;
        due.then(|| Stage::ALL[(number / every) as usize % Stage::ALL.len()])
    }

    fn run_one(&self, number: u32) -> Result<Life, String> {
        let (plan, fate) = (&self.churn.td, self.fate(number));
        let td = match self.host.build(plan, fate) {
            Ok(td) => td,
            Err(MonitorError::GivenUp) => return Ok(Life::Abandoned),
            Err(error) if may_be_refused(&error) => {
                thread::sleep(SHORT_LIFE);
                return Ok(Life::Refused(error.to_string()));
            }
            Err(error) => return Err(format!("TD {number}: {error}")),
        };
        let running = Running::start(td, plan, number as usize).map_err(|e| e.to_string())?;
        if fate == Some(Stage::Running) {
            thread::sleep(SHORT_LIFE);
            running.give_up();
            drop(running.finish());
            return Ok(Life::Abandoned);
        }
        let report = running.finish();
        match report.vcpus.iter().find_map(|vcpu| vcpu.error.as_ref()) {
            Some(error) => Err(format!("TD {number}: {error}")),
            None => Ok(Life::Completed(report.vcpus.into_iter().map(|vcpu| vcpu.said).collect())),
        }
    }
}

/// Want of KeyIDs or of entropy is no failure: the kernel says that one may come back.
fn may_be_refused(error: &MonitorError) -> bool {
    matches!(error, MonitorError::Refused { doing: "KVM_TDX_INIT_VM", errno: libc::ENOSPC | libc::EAGAIN, .. })
}
