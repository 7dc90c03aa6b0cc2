//! One guest, many schedules: an exploration restores a machine and makes update after update in it, each under holds of
//! its own, until one of them fails.

use super::drive::Told;
use super::folder::RunFolder;
use super::holds;
use super::live::Live;
use super::orders::Orders;
use super::prepare::Prepared;
use super::snapshot;
use super::stop::Stop;
use crate::scenario::HoldSpec;
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_judge::Verdict;
use rig_wire::plan::Control;
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How often it is looked whether the judge has caught up.
const LOOK: Duration = Duration::from_micros(200);

/// What many sessions have in common.
#[derive(Debug)]
pub struct Sessions {
    prepared: Prepared,
    made_of: Value,
}

/// A machine under exploration.
pub struct Session {
    runtime: Runtime,
    live: Live,
    told: Told,
    updates: u32,
}

/// How an update under a schedule ended.
#[derive(Debug)]
pub enum Tried {
    /// All went well, and the machine can go on.
    Passed(Counts),
    /// The machine's last.
    Ended(Box<Ended>),
}

/// How a machine came to its end.
#[derive(Debug)]
pub struct Ended {
    stop: Stop,
    /// What the holds of the last update came to.
    pub counts: Counts,
}

/// What the holds of one update came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Holds that began.
    pub begun: u64,
    /// Holds that ended because their condition came true.
    pub satisfied: u64,
    /// Host time of the update, milliseconds.
    pub update_ms: u64,
}

impl Sessions {
    /// Makes sure that there is a snapshot to start from, or says why each session has to boot.
    pub fn new(mut prepared: Prepared, progress: &Progress) -> Result<Self, Trouble> {
        prepared.start = snapshot::choose(&prepared, &runtime()?, progress)?;
        if let snapshot::Start::Boot(reason) = &prepared.start {
            progress.say(&format!("each guest boots: {reason}"));
        }
        prepared.orders = Some(Arc::new(Orders::default()));
        prepared.keep = true;
        let made_of = if prepared.plan.deterministic { snapshot::made_of(&prepared)? } else { Value::Null };
        Ok(Self { prepared, made_of })
    }

    /// Whether a schedule gives the same run each time.
    pub fn repeats(&self) -> bool {
        self.prepared.plan.deterministic
    }

    /// Hashes of all that decides a run, by name; null where runs do not repeat anyway.
    pub fn made_of(&self) -> &Value {
        &self.made_of
    }

    /// Pairs of accesses by different LPs that were seen one after the other.
    pub fn orders(&self) -> usize {
        self.prepared.orders.as_ref().map_or(0, |orders| orders.len())
    }

    /// Whether there are loads, whose work only the end of a guest shows.
    pub fn has_loads(&self) -> bool {
        !self.prepared.scenario.load.is_empty()
    }

    /// Release of the kernel.
    pub fn kernel(&self) -> &str {
        &self.prepared.release
    }

    /// Name of the word in which acknowledgements are counted.
    pub fn ack_word(&self) -> &str {
        &self.prepared.setup.subject.num_ack
    }

    /// Starts a machine with its evidence in `folder`, which is empty.
    pub fn start(&self, folder: &Path) -> Result<Session, Trouble> {
        let runtime = runtime()?;
        let prepared = self.prepared.again(RunFolder::existing(folder))?;
        let scenario = toml::to_string_pretty(&prepared.scenario).expect("a scenario is plain data");
        prepared.folder.write("scenario.toml", scenario)?;
        let live = runtime.block_on(Live::start(prepared, Instant::now()))?;
        Ok(Session { runtime, live, told: Told::default(), updates: 0 })
    }
}

fn runtime() -> Result<Runtime, Trouble> {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let help = "check the limits on threads and open files (ulimit -a)";
    runtime.map_err(|e| Trouble::environment(format!("cannot start threads: {e}"), help))
}

impl Session {
    /// Brings the guest to where it can be updated, beneath the scenario's loads.
    pub fn ready(&mut self) -> Result<(), Box<Ended>> {
        let Self { runtime, live, told, .. } = self;
        let say = |_: &str| {};
        let drive = live.driver(&say);
        let ready = live.until_ended(async {
            drive.boot(told).await?;
            drive.read_before(told).await?;
            drive.start_loads(told).await
        });
        runtime.block_on(ready).map_err(|stop| Box::new(Ended { stop, counts: Counts::default() }))
    }

    /// One update under these holds.
    pub fn update(&mut self, holds: &[HoldSpec]) -> Result<Tried, Trouble> {
        let schedule = holds::schedule(holds, &self.live.prepared.seen, &self.live.prepared.symbols)?;
        self.live.prepared.plan.schedules.resize(self.updates as usize, Vec::new());
        self.live.prepared.plan.schedules.push(schedule.clone());
        self.updates += 1;
        let Self { runtime, live, told, updates } = self;
        let say = |_: &str| {};
        let drive = live.driver(&say);
        let tally = live.observer.tally();
        let before = [&tally.begun, &tally.satisfied].map(|n| n.load(Ordering::Acquire));
        let started = Instant::now();
        let done = runtime.block_on(live.until_ended(async {
            live.emulator.ask(&Control::Schedules { schedules: vec![schedule] }).await?;
            drive.update(told, *updates).await?;
            while tally.updates.load(Ordering::Acquire) < u64::from(*updates) {
                tokio::time::sleep(LOOK).await;
            }
            Ok(())
        }));
        let counts = Counts {
            begun: tally.begun.load(Ordering::Acquire) - before[0],
            satisfied: tally.satisfied.load(Ordering::Acquire) - before[1],
            update_ms: u64::try_from(started.elapsed().as_millis()).unwrap_or(u64::MAX),
        };
        let stop = match (done, live.observer.alarmed()) {
            (Err(stop), _) => stop,
            (Ok(()), Some(alarm)) => Stop::Alarm(alarm),
            (Ok(()), None)
                if told.updates.last().is_some_and(|tried| tried.succeeded() && tried.seen == tried.wanted) =>
            {
                return Ok(Tried::Passed(counts));
            }
            (Ok(()), None) => Stop::Finished,
        };
        Ok(Tried::Ended(Box::new(Ended { stop, counts })))
    }

    /// Ends the machine and judges it.
    pub fn end(self, ended: Ended) -> Result<Verdict, Trouble> {
        let Self { runtime, mut live, told, updates } = self;
        live.prepared.scenario.updates = updates;
        runtime.block_on(live.end(ended.stop, told))
    }

    /// Ends the machine after a pass; all that was recorded is judged, and whether its loads did what they were to do.
    pub fn finish(self) -> Result<Verdict, Trouble> {
        let Self { runtime, mut live, mut told, updates } = self;
        // The scenario of a session speaks of one; all that were made are to have succeeded.
        live.prepared.scenario.updates = updates;
        let say = |_: &str| {};
        let stopped = runtime.block_on(live.until_ended(live.driver(&say).stop_loads(&mut told)));
        runtime.block_on(live.end(stopped.err().unwrap_or(Stop::Finished), told))
    }
}
