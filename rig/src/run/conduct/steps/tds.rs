//! Trust domains that KVM runs in the guest: started and ended.

use super::context::StepContext;
use super::error::{StepError, failed};
use crate::guest::GuestError;
use crate::run::record::guest_report::GuestReport;
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
pub(super) async fn start_tds(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    let Some(asked) = &context.scenario.tds else { return Ok(()) };
    if asked.count > 0 {
        let doing = format!("building {} trust domains", asked.count);
        // That KVM refuses one is an outcome, like that of an update.
        match context.ask(report, &doing, Command::StartTds { tds: tds::plans(asked) }).await {
            Err(StepError::Guest { error: GuestError::Failed(refusal), .. }) => {
                report.tds.not_built = Some(refusal.what);
            }
            built => _ = built?,
        }
    }
    if asked.churn > 0 {
        let churn = tds::churn(asked, asked.churn, None);
        context.ask(report, "starting the churn of trust domains", Command::StartChurn { churn }).await?;
    }
    Ok(())
}

/// Ends the churn, makes the cycles beside the TDs that still run, ends those, and counts what is left.
pub(super) async fn end_tds(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    let Some(asked) = &context.scenario.tds else { return Ok(()) };
    if asked.churn > 0 {
        let doing = "ending the churn of trust domains";
        report.tds.churn = Some(stop_churn(context, report, doing, false).await?);
    }
    if asked.cycles > 0 {
        report.tds.warm_up = Some(cycle(context, report, asked, WARM_UP).await?);
        let before = free_kib(context, report).await?;
        report.tds.cycles = Some(cycle(context, report, asked, asked.cycles).await?);
        report.tds.free_kib = Some((before, free_kib(context, report).await?));
    }
    if asked.count > 0 {
        report.tds.long_lived = match context.ask(report, "ending the trust domains", Command::StopTds).await? {
            Answer::Tds(reports) => reports,
            other => return Err(failed(report, GuestError::Unexpected(Box::new(other)))),
        };
    }
    let usage = context.emulator.ask(&Control::TdUsage).await?;
    report.tds.usage = Some(serde_json::from_str(&usage).map_err(|e| format!("the emulator said \"{usage}\": {e}")));
    Ok(())
}

async fn cycle(
    context: &StepContext<'_>,
    report: &mut GuestReport,
    asked: &Tds,
    number: u32,
) -> Result<ChurnReport, StepError> {
    let doing = format!("building, running and destroying {number} trust domains");
    let churn = tds::churn(asked, CYCLE_THREADS, Some(number));
    context.ask(report, &doing, Command::StartChurn { churn }).await?;
    stop_churn(context, report, &doing, true).await
}

async fn stop_churn(
    context: &StepContext<'_>,
    report: &mut GuestReport,
    doing: &str,
    when_done: bool,
) -> Result<ChurnReport, StepError> {
    match context.ask(report, doing, Command::StopChurn { when_done }).await? {
        Answer::Churn(report) => Ok(report),
        other => Err(failed(report, GuestError::Unexpected(Box::new(other)))),
    }
}

async fn free_kib(context: &StepContext<'_>, report: &GuestReport) -> Result<Option<u64>, StepError> {
    let text = context.guest.read("/proc/meminfo").await.map_err(|error| failed(report, error))?;
    let line = text.lines().find_map(|line| line.strip_prefix("MemFree:"));
    Ok(line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()))
}
