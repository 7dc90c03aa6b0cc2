//! Trust domains that KVM runs in the guest: started and ended.

use super::context::Drive;
use super::error::{DriveError, failed};
use crate::guest::GuestError;
use crate::run::record::told::Told;
use crate::scenario::Tds;
use crate::tds;
use rig_wire::agent::{Answer, Command};
use rig_wire::plan::Control;
use rig_wire::td::ChurnReport;

/// TDs that are built and destroyed before the guest's memory is measured, so that its caches are filled.
const WARM_UP: u32 = 8;
/// Threads that make the cycles.
const CYCLE_THREADS: u32 = 2;

/// Builds the TDs and lets them run.
pub(super) async fn start_tds(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    let Some(asked) = &drive.scenario.tds else { return Ok(()) };
    if asked.count > 0 {
        let doing = format!("building {} trust domains", asked.count);
        // That KVM refuses one is an outcome, like that of an update.
        match drive.ask(told, &doing, Command::StartTds { tds: tds::plans(asked) }).await {
            Err(DriveError::Guest { error: GuestError::Failed(refusal), .. }) => {
                told.tds.not_built = Some(refusal.what);
            }
            built => _ = built?,
        }
    }
    if asked.churn > 0 {
        let churn = tds::churn(asked, asked.churn, None);
        drive.ask(told, "starting the churn of trust domains", Command::StartChurn { churn }).await?;
    }
    Ok(())
}

/// Ends the churn, makes the cycles beside the TDs that live on, ends those, and counts what is left.
pub(super) async fn end_tds(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    let Some(asked) = &drive.scenario.tds else { return Ok(()) };
    if asked.churn > 0 {
        let doing = "ending the churn of trust domains";
        told.tds.churn = Some(stop_churn(drive, told, doing, false).await?);
    }
    if asked.cycles > 0 {
        told.tds.warm_up = Some(cycle(drive, told, asked, WARM_UP).await?);
        let before = free_kib(drive, told).await?;
        told.tds.cycles = Some(cycle(drive, told, asked, asked.cycles).await?);
        told.tds.free_kib = Some((before, free_kib(drive, told).await?));
    }
    if asked.count > 0 {
        told.tds.reports = match drive.ask(told, "ending the trust domains", Command::StopTds).await? {
            Answer::Tds(reports) => reports,
            other => return Err(failed(told, GuestError::Unexpected(Box::new(other)))),
        };
    }
    let usage = drive.emulator.ask(&Control::TdUsage).await?;
    told.tds.usage = Some(serde_json::from_str(&usage).map_err(|e| format!("the emulator said \"{usage}\": {e}")));
    Ok(())
}

async fn cycle(drive: &Drive<'_>, told: &mut Told, asked: &Tds, number: u32) -> Result<ChurnReport, DriveError> {
    let doing = format!("building, running and destroying {number} trust domains");
    let churn = tds::churn(asked, CYCLE_THREADS, Some(number));
    drive.ask(told, &doing, Command::StartChurn { churn }).await?;
    stop_churn(drive, told, &doing, true).await
}

async fn stop_churn(
    drive: &Drive<'_>,
    told: &mut Told,
    doing: &str,
    when_done: bool,
) -> Result<ChurnReport, DriveError> {
    match drive.ask(told, doing, Command::StopChurn { when_done }).await? {
        Answer::Churn(report) => Ok(report),
        other => Err(failed(told, GuestError::Unexpected(Box::new(other)))),
    }
}

async fn free_kib(drive: &Drive<'_>, told: &Told) -> Result<Option<u64>, DriveError> {
    let text = drive.guest.read("/proc/meminfo").await.map_err(|error| failed(told, error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    Ok(line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()))
}
