//! A boot whose machine is saved when it is ready for updates, with what was recorded meanwhile.

use super::launch::{Launch, Start};
use super::observer::Alarm;
use super::running_machine::{GRACE, RunningMachine};
use super::snapshot::boot_config::{ONLY_IN_UPDATES, boot_config};
use super::snapshot::note::Note;
use super::start::start;
use super::steps::boot::{boot, rest};
use super::stop::Stop;
use super::watch::stall::StallBudget;
use crate::machine::snapshot::SavedMachine;
use crate::run::folder::{EVENTS, RunFolder};
use crate::run::prepare::prepared::Prepared;
use crate::run::record::guest_report::GuestReport;
use crate::trouble::Trouble;
use rig_judge::RunEnd;
use rig_judge::timeline::{EventsReader, Leaf};
use rig_wire::agent::{Command, Ready};
use rig_wire::event::Kind;
use rig_wire::plan::Control;
use serde_json::Value;
use std::path::Path;
use std::time::Instant;

/// Why there is no snapshot.
#[derive(Debug)]
pub(super) enum NoSnapshot {
    /// A person ended the boot.
    Interrupted,
    /// The machine did not come up, or could not be saved.
    Failed(Trouble),
}

impl From<Trouble> for NoSnapshot {
    fn from(trouble: Trouble) -> Self {
        Self::Failed(trouble)
    }
}

/// Boots the machine of `prepared` and saves it in `folder`, with what was recorded meanwhile.
pub(super) async fn make_snapshot(prepared: &Prepared, folder: &Path, inputs: Value) -> Result<(), NoSnapshot> {
    let running = start_boot(prepared, folder).await?;
    let mut report = GuestReport::default();
    let ready = boot_and_save(&running, &mut report, folder).await?;
    if running.guest.is_within_frame() {
        return Err(cannot_save("the agent was in the middle of a message").into());
    }
    drop(running.machine);
    let _ = tokio::time::timeout(GRACE, running.kernel_log).await;
    let observed = running.observer.finish(RunEnd::Stopped);
    if let Some(breach) = observed.findings.breaches().first() {
        return Err(cannot_save(breach.summary()).into());
    }
    if let Some(why) = observed.findings.infrastructure {
        return Err(cannot_save(why).into());
    }
    if let RunEnd::Lost { cause } = observed.end {
        return Err(cannot_save(cause).into());
    }
    check_boot_leaves(&folder.join(EVENTS))?;
    let note = Note::new(inputs, folder, ready, (report.absent, report.refused));
    Ok(note?.write(folder)?)
}

/// Starts the machine without what strikes in updates only, with its evidence in `folder`.
async fn start_boot(prepared: &Prepared, folder: &Path) -> Result<RunningMachine, Trouble> {
    let (mut description, mut parts, subject) = prepared.again(RunFolder::existing(folder))?.into_parts();
    parts.plan.firmware = boot_config(&parts.plan.firmware);
    parts.plan.schedules.clear();
    parts.spec.monitored = true;
    let scenario = &mut description.scenario;
    scenario.budget.stall_cpu_s = StallBudget::of_boot(scenario.cpus, scenario.budget.stall_cpu_s);
    let start_by = Start::Boot("for a snapshot".into());
    start((description, parts, subject), Launch { start: start_by, orders: None, total: Instant::now() }).await
}

/// Waits until the guest is ready for updates and at rest, and saves its machine. Returns the agent's first message.
async fn boot_and_save(running: &RunningMachine, report: &mut GuestReport, folder: &Path) -> Result<Ready, NoSnapshot> {
    let say = |_: &str| {};
    let context = running.step_context(&say);
    running.supervise(boot(&context, report)).await.map_err(|stop| no_snapshot(&stop, report))?;
    let ready = report.ready.clone().ok_or_else(|| cannot_save("the agent is not ready"))?;
    running.supervise(rest(&context)).await.map_err(|stop| no_snapshot(&stop, report))?;
    save(running, &SavedMachine::within(folder)).await?;
    Ok(ready)
}

/// Saves a deterministic machine as it runs, since after a restore nothing may touch it to make it go on; any other
/// machine is saved while it stands.
async fn save(running: &RunningMachine, place: &SavedMachine) -> Result<(), Trouble> {
    let monitors = running.machine.monitors.as_ref().ok_or_else(|| cannot_save("it has no monitor"))?;
    if !running.parts.plan.deterministic {
        return place.save(monitors, &running.emulator).await.map_err(cannot_save);
    }
    running.emulator.ask(&Control::Park).await.map_err(cannot_save)?;
    running.guest.request(Command::Ping).await.map_err(cannot_save)?;
    place.save_running(monitors, &running.emulator).await.map_err(cannot_save)
}

fn cannot_save(why: impl std::fmt::Display) -> Trouble {
    Trouble::environment(format!("the booted machine cannot be saved: {why}"), "boot with --cold")
}

/// Why a machine that boots for a snapshot did not get there.
fn no_snapshot(stop: &Stop, report: &GuestReport) -> NoSnapshot {
    let why = match stop {
        Stop::Interrupted => return NoSnapshot::Interrupted,
        Stop::Alarm(Alarm::Breach(breach)) => breach.summary(),
        Stop::Alarm(Alarm::Lost(cause) | Alarm::Hung(cause)) | Stop::Stalled(cause) => cause.clone(),
        Stop::Step(error) => error.to_string(),
        Stop::Exited(status) => format!("QEMU ended ({status})"),
        Stop::Finished => "it ended".into(),
    };
    cannot_save(format!("{why}, while {}", report.doing)).into()
}

/// Snapshots are shared between runs whose faults strike in updates only; so the boot must be free of updates.
fn check_boot_leaves(events: &Path) -> Result<(), Trouble> {
    let records = EventsReader::open(events).map_err(cannot_save)?;
    for record in records {
        let record = record.map_err(cannot_save)?;
        let leaf = Leaf::of(&record);
        if record.kind == Kind::SeamcallEnter as u16 && ONLY_IN_UPDATES.iter().any(|(only, _)| *only == leaf) {
            return Err(cannot_save(format!("the boot called {}", leaf.name())));
        }
    }
    Ok(())
}
