//! A boot whose machine is saved when it is ready for updates, with what was recorded meanwhile.

use super::drive::boot::{boot, rest};
use super::launch::{Launch, Start};
use super::live::{GRACE, Live};
use super::observer::Alarm;
use super::snapshot::boot_config::{ONLY_IN_UPDATES, boot_config};
use super::snapshot::note::Note;
use super::start::start;
use super::stop::Stop;
use super::watch::stall::StallBudget;
use crate::machine::snapshot::SavedMachine;
use crate::run::folder::{EVENTS, RunFolder};
use crate::run::prepare::prepared::Prepared;
use crate::run::record::told::Told;
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
    let live = start_boot(prepared, folder).await?;
    let mut told = Told::default();
    let ready = boot_and_save(&live, &mut told, folder).await?;
    if live.guest.is_within_frame() {
        return Err(cannot_save("the agent was in the middle of a message").into());
    }
    drop(live.machine);
    let _ = tokio::time::timeout(GRACE, live.kernel_log).await;
    let observed = live.observer.finish(RunEnd::Stopped);
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
    let note = Note::new(inputs, folder, ready, (told.absent, told.refused));
    Ok(note?.write(folder)?)
}

/// Starts the machine without what strikes in updates only, with its evidence in `folder`.
async fn start_boot(prepared: &Prepared, folder: &Path) -> Result<Live, Trouble> {
    let (mut description, mut parts, subject) = prepared.again(RunFolder::existing(folder))?.into_parts();
    parts.plan.firmware = boot_config(&parts.plan.firmware);
    parts.plan.schedules.clear();
    parts.spec.monitored = true;
    let scenario = &mut description.scenario;
    scenario.budget.stall_cpu_s = StallBudget::of_boot(scenario.cpus, scenario.budget.stall_cpu_s);
    let start_by = Start::Boot("for a snapshot".into());
    start((description, parts, subject), Launch { start: start_by, orders: None, total: Instant::now() }).await
}

/// Waits until the guest is ready for updates and at rest, and saves its machine. Tells the agent's first message.
async fn boot_and_save(live: &Live, told: &mut Told, folder: &Path) -> Result<Ready, NoSnapshot> {
    let say = |_: &str| {};
    let drive = live.driver(&say);
    live.until_ended(boot(&drive, told)).await.map_err(|stop| no_snapshot(&stop, told))?;
    let ready = told.ready.clone().ok_or_else(|| cannot_save("the agent is not ready"))?;
    live.until_ended(rest(&drive)).await.map_err(|stop| no_snapshot(&stop, told))?;
    save(live, &SavedMachine::within(folder)).await?;
    Ok(ready)
}

/// Saves a deterministic machine as it runs, since nothing may have to tell it to go on, and any other while it stands.
async fn save(live: &Live, place: &SavedMachine) -> Result<(), Trouble> {
    let monitors = live.machine.monitors.as_ref().ok_or_else(|| cannot_save("it has no monitor"))?;
    if !live.parts.plan.deterministic {
        return place.save(monitors, &live.emulator).await.map_err(cannot_save);
    }
    live.emulator.ask(&Control::Park).await.map_err(cannot_save)?;
    live.guest.request(Command::Ping).await.map_err(cannot_save)?;
    place.save_running(monitors, &live.emulator).await.map_err(cannot_save)
}

fn cannot_save(why: impl std::fmt::Display) -> Trouble {
    Trouble::environment(format!("the booted machine cannot be saved: {why}"), "boot with --cold")
}

/// Why a machine that boots for a snapshot did not get there.
fn no_snapshot(stop: &Stop, told: &Told) -> NoSnapshot {
    let why = match stop {
        Stop::Interrupted => return NoSnapshot::Interrupted,
        Stop::Alarm(Alarm::Breach(breach)) => breach.summary(),
        Stop::Alarm(Alarm::Lost(cause) | Alarm::Hung(cause)) | Stop::Stalled(cause) => cause.clone(),
        Stop::Drive(error) => error.to_string(),
        Stop::Exited(status) => format!("QEMU ended ({status})"),
        Stop::Finished => "it ended".into(),
    };
    cannot_save(format!("{why}, while {}", told.doing)).into()
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
