//! The guest's way to where it is ready for its first update: by a boot, or from a snapshot.

use super::context::StepContext;
use super::error::{StepError, failed};
use crate::guest::GuestError;
use crate::run::conduct::snapshot::note::Note;
use crate::run::prepare::subject::{self, GuestModule};
use crate::run::record::guest_report::GuestReport;
use crate::symbols::KmodPlan;
use rig_wire::agent::Command;
use rig_wire::event::Mark;
use rig_wire::plan::Control;
use std::collections::HashMap;

/// How long a guest that is to be saved is left alone, before the agent waits for its CPUs' timers. The kernel gathers
/// the statistics of all CPUs a second after the boot (`vmstat_shepherd()` in mm/vmstat.c); a machine that was saved
/// before wakes them all when it goes on, and with nothing translated yet 64 vCPUs spend two seconds waiting for one
/// another's translations.
const REST_MS: u32 = 2500;
const ENODEV: i32 = 19;

/// Brings the guest to where it is ready for its first update.
pub(crate) async fn boot(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    if let Some(note) = context.saved {
        return wake(context, report, note).await;
    }
    context.doing(report, "booting");
    let ready = context.guest.ready().await.map_err(|error| failed(report, error))?;
    report.ready = Some(ready);
    report.boot = context.started.elapsed();
    context.mark(Mark::Ready, 0).await?;
    for GuestModule { name, parameters } in context.modules {
        let load = Command::LoadModule { name: name.clone(), parameters: parameters.clone() };
        match context.ask(report, &format!("loading {name}"), load).await {
            // The driver does not load on a platform without a working TDX module.
            Err(StepError::Guest { error: GuestError::Failed(f), .. })
                if f.errno == Some(ENODEV) && subject::is_subject(name) =>
            {
                (report.absent, report.refused) = (true, f.errno);
            }
            Err(StepError::Guest { error: GuestError::Failed(f), .. }) if context.scenario.expect.refused.is_some() => {
                (report.absent, report.refused) = (true, f.errno);
            }
            loaded => _ = loaded?,
        }
    }
    locate_subject(context, report).await
}

/// Lets the guest do what its boot left to be done, before it is saved.
pub(crate) async fn rest(context: &StepContext<'_>) -> Result<(), StepError> {
    let rested = context.guest.request(Command::Rest { ms: REST_MS }).await;
    rested.map(drop).map_err(|error| StepError::Guest { doing: "resting".into(), error })
}

/// The machine goes on where [`boot`] had ended when it was saved.
async fn wake(context: &StepContext<'_>, report: &mut GuestReport, note: &Note) -> Result<(), StepError> {
    context.ask(report, "restoring", Command::Ping).await?;
    (report.ready, report.absent, report.refused) = (Some(note.ready.clone()), note.absent, note.refused);
    report.boot = context.started.elapsed();
    locate_subject(context, report).await
}

/// Locates the subject's module, which is the last of the list, where its addresses are not known yet.
async fn locate_subject(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    match (context.kmod_plan, context.modules.last()) {
        (Some(kmod_plan), Some(module)) if !report.absent => locate(context, report, kmod_plan, &module.name).await,
        _ => Ok(()),
    }
}

/// Tells the emulator where the subject's module lies, before any of its updates ran.
async fn locate(
    context: &StepContext<'_>,
    report: &mut GuestReport,
    kmod_plan: &KmodPlan,
    module: &str,
) -> Result<(), StepError> {
    let begins = section_begins(context, report, kmod_plan, module).await?;
    let observation = kmod_plan.located(&begins).ok_or_else(|| StepError::NotLocated(module.to_owned()))?;
    context.emulator.ask(&Control::Watch { watches: observation.watches, functions: observation.functions }).await?;
    Ok(())
}

/// Where the sections of the subject's module begin.
pub(crate) async fn section_begins(
    context: &StepContext<'_>,
    report: &mut GuestReport,
    kmod_plan: &KmodPlan,
    module: &str,
) -> Result<HashMap<String, u64>, StepError> {
    context.doing(report, "reading where the module lies");
    let mut begins = HashMap::new();
    for section in &kmod_plan.sections {
        let path = format!("/sys/module/{}/sections/{section}", module.replace('-', "_"));
        let text = context.guest.read(&path).await.map_err(|error| failed(report, error))?;
        let address = text.strip_prefix("0x").and_then(|digits| u64::from_str_radix(digits, 16).ok());
        begins.insert(section.clone(), address.ok_or_else(|| StepError::NotLocated(module.to_owned()))?);
    }
    Ok(begins)
}
