//! A run under way: a machine, its observer, and what ends them.

use super::exit_cause::stop_of_exit;
use super::interrupt::Interrupts;
use super::launch::Launch;
use super::observer::{Alarm, Observer};
use super::steps::{StepContext, StepError};
use super::stop::Stop;
use super::watch::bound::Bound;
use super::watch::stall::StallBudget;
use super::watch::watched::Watched;
use crate::guest::Guest;
use crate::machine::control::Emulator;
use crate::machine::{EXIT_GRACE, Machine};
use crate::run::folder::{EVENTS, KERNEL_LOG};
use crate::run::prepare::machine::MachineParts;
use crate::run::prepare::subject::SubjectParts;
use crate::run::record::description::RunDescription;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// Grace for answers that were sent before QEMU ended, and for the rest of the kernel's log.
pub(super) const GRACE: Duration = Duration::from_secs(2);

/// A run under way.
pub(crate) struct RunningMachine {
    /// What is run.
    pub(crate) description: RunDescription,
    /// What the machine was started from.
    pub(crate) parts: MachineParts,
    /// What brought the subject into the guest.
    pub(crate) subject: SubjectParts,
    pub(super) launch: Launch,
    /// When QEMU was started.
    pub(super) started: Instant,
    /// QEMU.
    pub(crate) machine: Machine,
    pub(super) guest: Guest,
    /// The emulator.
    pub(crate) emulator: Emulator,
    /// The observer of its events.
    pub(crate) observer: Observer,
    pub(super) kernel_lines: Arc<AtomicU64>,
    pub(super) kernel_log: JoinHandle<()>,
    pub(super) interrupts: Interrupts,
}

impl RunningMachine {
    /// What the steps of the scenario need.
    pub(crate) fn step_context<'a>(&'a self, say: &'a (dyn Fn(&str) + Sync)) -> StepContext<'a> {
        StepContext {
            guest: &self.guest,
            emulator: &self.emulator,
            tally: self.observer.tally(),
            scenario: &self.description.scenario,
            modules: &self.subject.modules,
            kmod_plan: self.subject.kmod_plan.as_ref(),
            started: self.started,
            saved: self.launch.start.snapshot().map(|snapshot| &*snapshot.note),
            say,
        }
    }

    /// Waits for `work`, unless the observer, a person, a stall or the end of QEMU ends it.
    pub(crate) async fn supervise(&self, work: impl Future<Output = Result<(), StepError>>) -> Result<(), Stop> {
        let watched = self.watched();
        let mut work = std::pin::pin!(work);
        tokio::select! {
            biased;
            done = &mut work => match done {
                Err(error) if error.is_gone() => Err(self.exit_or(error).await),
                done => done.map_err(Stop::Step),
            },
            alarm = self.alarm() => Err(Stop::Alarm(alarm)),
            () = self.interrupts.reached(1) => Err(Stop::Interrupted),
            () = self.emulator.failed() => Err(Stop::Step(StepError::Emulator)),
            stop = watched.stalled(self.budget()) => Err(self.breach_or(stop)),
            status = self.machine.process.exited() => match tokio::time::timeout(GRACE, work).await {
                Ok(Ok(())) => Ok(()),
                _ => Err(stop_of_exit(status)),
            },
        }
    }

    /// Waits for the machine to be off after it was asked to.
    pub(super) async fn power_off(&self) -> Stop {
        let watched = self.watched();
        tokio::select! {
            biased;
            _ = self.machine.process.exited() => match self.observer.alarmed() {
                Some(alarm) => Stop::Alarm(alarm),
                None => Stop::Finished,
            },
            () = self.interrupts.reached(1) => Stop::Interrupted,
            alarm = self.alarm_of_end() => Stop::Alarm(alarm),
            stop = watched.stalled(self.budget()) => self.breach_or(stop),
        }
    }

    fn budget(&self) -> StallBudget {
        let scenario = &self.description.scenario;
        StallBudget::for_machine(scenario.cpus, scenario.budget.stall_cpu_s)
    }

    /// What ends the run early. A deterministic machine goes on to a place of its own choice, or its timeline would end where
    /// the host was just then.
    async fn alarm(&self) -> Alarm {
        match self.observer.alarm().await {
            Alarm::Breach(_) if self.parts.plan.deterministic => std::future::pending().await,
            alarm => alarm,
        }
    }

    /// What ends even a run that is about to end. An invariant that broke is reported when the machine is off.
    async fn alarm_of_end(&self) -> Alarm {
        match self.observer.alarm().await {
            Alarm::Breach(_) => std::future::pending().await,
            alarm => alarm,
        }
    }

    fn watched(&self) -> Watched<'_> {
        Watched {
            machine: &self.machine,
            guest: &self.guest,
            observer: &self.observer,
            kernel_lines: &self.kernel_lines,
            console: &self.parts.spec.console,
            evidence: self.evidence(),
            started: self.started,
        }
    }

    fn evidence(&self) -> Bound {
        // What QEMU itself writes has bounds of its own.
        let files = [EVENTS, KERNEL_LOG].map(|name| self.description.folder.file(name));
        Bound::of(files.to_vec(), self.description.scenario.budget.evidence_mb)
    }

    /// A deterministic machine goes on behind a breach. Whatever ends it then, the breach is what the run came to.
    fn breach_or(&self, stop: Stop) -> Stop {
        match self.observer.alarmed() {
            Some(breach @ Alarm::Breach(_)) => Stop::Alarm(breach),
            _ => stop,
        }
    }

    /// The channel closed; QEMU's exit, if it follows, says more.
    async fn exit_or(&self, error: StepError) -> Stop {
        match tokio::time::timeout(EXIT_GRACE, self.machine.process.exited()).await {
            Ok(status) => stop_of_exit(status),
            Err(_) => Stop::Step(error),
        }
    }
}
