//! The guest's way to where it is ready for its first update: by a boot, or from a snapshot.

use super::context::Drive;
use super::error::{DriveError, failed};
use crate::guest::GuestError;
use crate::run::conduct::snapshot::note::Note;
use crate::run::prepare::subject::{self, GuestModule};
use crate::run::record::told::Told;
use crate::symbols::KmodPlan;
use rig_wire::agent::Command;
use rig_wire::event::Mark;
use rig_wire::plan::Control;
use std::collections::HashMap;

/// How long a guest that is to be saved is left alone, before the agent waits for its CPUs' timers. The kernel gathers the statistics of all CPUs a second after the boot
/// (`vmstat_shepherd()` in mm/vmstat.c); a machine that was saved before wakes them all when it goes on, and with nothing translated yet 64 vCPUs
/// spend two seconds waiting for one another's translations.
const REST_MS: u32 = 2500;
const ENODEV: i32 = 19;

/// Until the guest is ready for its first update.
pub(crate) async fn boot(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    if let Some(note) = drive.saved {
        return wake(drive, told, note).await;
    }
    drive.doing(told, "booting");
    let ready = drive.guest.ready().await.map_err(|error| failed(told, error))?;
    told.ready = Some(ready);
    told.boot = drive.started.elapsed();
    drive.mark(Mark::Ready, 0).await?;
    for GuestModule { name, parameters } in drive.modules {
        let load = Command::LoadModule { name: name.clone(), parameters: parameters.clone() };
        match drive.ask(told, &format!("loading {name}"), load).await {
            // The driver wants no platform without a working TDX module.
            Err(DriveError::Guest { error: GuestError::Failed(f), .. })
                if f.errno == Some(ENODEV) && subject::is_subject(name) =>
            {
                (told.absent, told.refused) = (true, f.errno);
            }
            Err(DriveError::Guest { error: GuestError::Failed(f), .. }) if drive.scenario.expect.refused.is_some() => {
                (told.absent, told.refused) = (true, f.errno);
            }
            loaded => _ = loaded?,
        }
    }
    place_last(drive, told).await
}

/// Lets the guest do what its boot left to be done, before it is saved.
pub(crate) async fn rest(drive: &Drive<'_>) -> Result<(), DriveError> {
    let rested = drive.guest.request(Command::Rest { ms: REST_MS }).await;
    rested.map(drop).map_err(|error| DriveError::Guest { doing: "resting".into(), error })
}

/// The machine goes on where [`boot`] had ended when it was saved.
async fn wake(drive: &Drive<'_>, told: &mut Told, note: &Note) -> Result<(), DriveError> {
    drive.ask(told, "restoring", Command::Ping).await?;
    (told.ready, told.absent, told.refused) = (Some(note.ready.clone()), note.absent, note.refused);
    told.boot = drive.started.elapsed();
    place_last(drive, told).await
}

/// The subject's module is the last.
async fn place_last(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    match (drive.placing, drive.modules.last()) {
        (Some(placing), Some(module)) if !told.absent => place(drive, told, placing, &module.name).await,
        _ => Ok(()),
    }
}

/// Tells the emulator where the subject's module lies, before any of its updates ran.
async fn place(drive: &Drive<'_>, told: &mut Told, placing: &KmodPlan, module: &str) -> Result<(), DriveError> {
    drive.doing(told, "reading where the module lies");
    let mut begins = HashMap::new();
    for section in &placing.sections {
        let path = format!("/sys/module/{}/sections/{section}", module.replace('-', "_"));
        let text = drive.guest.read(&path).await.map_err(|error| failed(told, error))?;
        let address = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        begins.insert(section.clone(), address.ok_or_else(|| DriveError::Unplaced(module.to_owned()))?);
    }
    let seen = placing.placed(&begins).ok_or_else(|| DriveError::Unplaced(module.to_owned()))?;
    drive.emulator.ask(&Control::Watch { watches: seen.watches, functions: seen.functions }).await?;
    Ok(())
}
