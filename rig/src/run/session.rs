//! One guest, many schedules: an exploration restores a machine and makes update after update in it, each under holds of
//! its own, until one of them fails.

use super::conclude::verdict::conclude;
use super::conduct::choose_start::choose_start;
use super::conduct::end::end;
use super::conduct::launch::{Launch, Start};
use super::conduct::observer::log_marks;
use super::conduct::observer::orders::Orders;
use super::conduct::running_machine::RunningMachine;
use super::conduct::runtime::runtime;
use super::conduct::snapshot::inputs;
use super::conduct::start::start;
use super::conduct::steps::boot::boot;
use super::conduct::steps::loads::{start_loads, stop_loads};
use super::conduct::steps::readings::read_before;
use super::conduct::steps::update::update;
use super::conduct::steps::{StepContext, StepError};
use super::conduct::stop::Stop;
use super::folder::{KERNEL_LOG, RunFolder};
use super::guests::{Counts, EndCause, Guests, Judged, UpdatableGuest, UpdateAttempt};
use super::prepare::holds;
use super::prepare::prepared::Prepared;
use super::record::guest_report::GuestReport;
use crate::milliseconds::milliseconds;
use crate::scenario::HoldSpec;
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_judge::{Invariant, Verdict};
use rig_wire::agent::Command;
use rig_wire::plan::{Control, Hold};
use serde_json::Value;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;

/// How often it is looked whether the judge has caught up.
const LOOK: Duration = Duration::from_micros(200);
/// Host time within which the mark of an update's end must come back in the kernel's log: it takes milliseconds.
const LOG_WITHIN: Duration = Duration::from_secs(30);

/// What many sessions have in common.
#[derive(Debug)]
pub struct Sessions {
    prepared: Prepared,
    /// How each guest comes up.
    start: Start,
    /// Orders of accesses that were observed, over all of them.
    orders: Arc<Orders>,
    made_of: Value,
}

/// A machine under exploration.
pub struct Session {
    runtime: Runtime,
    running: RunningMachine,
    report: GuestReport,
    updates: u32,
    /// The holds of each update that was made.
    schedules: Vec<Vec<Hold>>,
    /// What ended it, and whether that was within an update; none: it goes on.
    stop: Option<(Stop, bool)>,
}

impl Sessions {
    /// Makes sure that there is a snapshot to start from, or says why each session has to boot.
    pub fn new(prepared: Prepared, progress: &Progress) -> Result<Self, Trouble> {
        let start = choose_start(&prepared, &runtime()?, progress)?;
        if let Start::Boot(reason) = &start {
            progress.say(&format!("each guest boots: {reason}"));
        }
        let made_of = inputs::made_of(&prepared, start.snapshot())?;
        Ok(Self { prepared: prepared.keeping_evidence(), start, orders: Arc::new(Orders::default()), made_of })
    }

    /// Release of the kernel.
    pub fn kernel(&self) -> &str {
        &self.prepared.description().kernel_release
    }

    /// Hashes of all that decides what an exploration finds, by name. The snapshot is none of it: each host makes its own of the
    /// same parts. This program is, for it judges.
    pub fn explored(&self) -> Result<Value, Trouble> {
        inputs::explored(&self.made_of)
    }
}

impl Guests for Sessions {
    type Guest = Session;

    fn start(&self, folder: &Path) -> Result<Session, Trouble> {
        let runtime = runtime()?;
        let prepared = self.prepared.again(RunFolder::existing(folder))?;
        let run = prepared.description();
        let scenario = run.scenario.to_toml();
        run.folder.write("scenario.toml", scenario)?;
        let schedules = prepared.machine().plan.schedules.clone();
        let orders = Some(Arc::clone(&self.orders));
        let launch = Launch { start: self.start.clone(), orders, total: Instant::now() };
        let running = runtime.block_on(start(prepared.into_parts(), launch))?;
        Ok(Session { runtime, running, report: GuestReport::default(), updates: 0, schedules, stop: None })
    }

    fn repeats(&self) -> bool {
        self.prepared.machine().plan.deterministic
    }

    fn has_loads(&self) -> bool {
        !self.prepared.description().scenario.load.is_empty()
    }

    fn ack_word(&self) -> &str {
        &self.prepared.description().setup.subject.num_ack
    }

    fn orders(&self) -> usize {
        self.orders.len()
    }

    fn made_of(&self) -> &Value {
        &self.made_of
    }
}

impl UpdatableGuest for Session {
    fn ready(&mut self) -> bool {
        let Self { runtime, running, report, .. } = self;
        let say = |_: &str| {};
        let context = running.step_context(&say);
        let ready = runtime.block_on(running.supervise(async {
            boot(&context, report).await?;
            read_before(&context, report).await?;
            start_loads(&context, report).await
        }));
        self.stop = ready.err().map(|stop| (stop, false));
        self.stop.is_none()
    }

    fn update(&mut self, holds: &[HoldSpec]) -> Result<UpdateAttempt, Trouble> {
        // What came since the last update's end is none of this one's.
        if let Some(alarm) = self.running.observer.alarmed() {
            self.stop = Some((Stop::Alarm(alarm), false));
            return Ok(UpdateAttempt::Last(Counts::default()));
        }
        let schedule = holds::schedule(holds, &self.running.subject.observation, &self.running.subject.symbols)?;
        self.schedules.resize(self.updates as usize, Vec::new());
        self.schedules.push(schedule.clone());
        self.updates += 1;
        let Self { runtime, running, report, updates, .. } = self;
        let say = |_: &str| {};
        let context = running.step_context(&say);
        let tally = running.observer.tally();
        let before = [&tally.begun, &tally.satisfied].map(|n| n.load(Ordering::Acquire));
        let started = Instant::now();
        let done = runtime.block_on(running.supervise(async {
            running.emulator.ask(&Control::Schedules { schedules: vec![schedule] }).await?;
            mark(&context, report, log_marks::begin(*updates)).await?;
            update(&context, report, *updates).await?;
            mark(&context, report, log_marks::end(*updates)).await?;
            judged(running, *updates).await
        }));
        let counts = Counts {
            begun: tally.begun.load(Ordering::Acquire) - before[0],
            satisfied: tally.satisfied.load(Ordering::Acquire) - before[1],
            update_ms: milliseconds(started.elapsed()),
        };
        let stop = match (done, running.observer.alarmed()) {
            (Err(stop), _) => stop,
            (Ok(()), Some(alarm)) => Stop::Alarm(alarm),
            (Ok(()), None)
                if report.updates.last().is_some_and(|upload| upload.succeeded() && upload.after == upload.wanted) =>
            {
                return Ok(UpdateAttempt::Passed(counts));
            }
            (Ok(()), None) => Stop::Finished,
        };
        self.stop = Some((stop, true));
        Ok(UpdateAttempt::Last(counts))
    }

    fn end(self) -> Result<Judged, Trouble> {
        let Self { runtime, running, mut report, updates, schedules, stop } = self;
        let (stop, in_update) = stop.unwrap_or_else(|| {
            let say = |_: &str| {};
            let context = running.step_context(&say);
            let stopped = runtime.block_on(running.supervise(async {
                stop_loads(&context, &mut report).await?;
                // With the mark comes all that the kernel said before it.
                mark(&context, &mut report, log_marks::END_OF_GUEST.into()).await
            }));
            (stopped.err().unwrap_or(Stop::Finished), false)
        });
        let is_all = matches!(stop, Stop::Finished) && !in_update;
        let is_interrupted = matches!(stop, Stop::Interrupted);
        let log = running.description.folder.file(KERNEL_LOG);
        let mut run = runtime.block_on(end(running, stop, report));
        // The scenario of a session speaks of one update; all that were made are to have succeeded.
        run.description.scenario.updates = updates;
        run.conditions.schedules = schedules;
        let verdict = conclude(&run)?;
        let cause = match verdict.verdict {
            _ if is_interrupted => EndCause::Person,
            rig_judge::Outcome::Passed if is_all => EndCause::AllDone,
            _ if in_update && !is_of_another(&verdict, &log, updates)? => EndCause::LastUpdate,
            _ => EndCause::NoUpdate,
        };
        Ok(Judged { verdict, cause })
    }
}

/// Marks a place in the kernel's log.
async fn mark(context: &StepContext<'_>, report: &mut GuestReport, text: String) -> Result<(), StepError> {
    context.ask(report, "marking the kernel's log", Command::MarkLog { text }).await.map(drop)
}

/// Waits until the judge has reached the end of this update, and of the kernel's log up to its mark.
async fn judged(running: &RunningMachine, update: u32) -> Result<(), StepError> {
    let (tally, update) = (running.observer.tally(), u64::from(update));
    let caught_up = async {
        while tally.updates.load(Ordering::Acquire) < update || tally.log_marks.load(Ordering::Acquire) < update {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(LOG_WITHIN, caught_up).await.map_err(|_| StepError::NoLog(update))
}

/// Whether what broke is a line of the kernel's log that was written outside of this update.
fn is_of_another(verdict: &Verdict, log: &Path, update: u32) -> Result<bool, Trouble> {
    match verdict.breaches.iter().find(|breach| breach.invariant == Invariant::QuietKernel) {
        None => Ok(false),
        Some(_) if verdict.breaches.len() > 1 => Ok(false),
        Some(breach) => {
            let text = std::fs::read(log).map_err(|e| Trouble::file("read", log, &e))?;
            Ok(log_marks::update_of(&String::from_utf8_lossy(&text), &breach.seen) != Some(update))
        }
    }
}
