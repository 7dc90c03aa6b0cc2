//! One run on its own: its machine is started, makes the steps of the scenario, and is ended.

use super::at_breach::leave_stopped;
use super::choose_start::choose_start;
use super::end::end;
use super::launch::Launch;
use super::observer::Alarm;
use super::running_machine::RunningMachine;
use super::runtime::runtime;
use super::start::start;
use super::steps::run_scenario;
use super::stop::Stop;
use crate::run::prepare::prepared::Prepared;
use crate::run::record::guest_report::GuestReport;
use crate::run::record::run_record::RunRecord;
use crate::trouble::Trouble;
use rig_images::Progress;
use std::time::Instant;

/// Runs what was prepared, to the end of its machine. `total` is when the command began.
pub(crate) fn conduct(prepared: Prepared, total: Instant, progress: &Progress) -> Result<RunRecord, Trouble> {
    let (runtime, at_breach) = (runtime()?, prepared.at_breach());
    let launch = Launch { start: choose_start(&prepared, &runtime, progress)?, orders: None, total };
    runtime.block_on(async {
        let running = Box::pin(start(prepared.into_parts(), launch)).await?;
        let mut report = GuestReport::default();
        let stop = run_steps(&running, &mut report, progress).await;
        if let Stop::Alarm(Alarm::Breach(breach)) = &stop {
            progress.say(&breach.summary());
        }
        if let Some(at_breach) = at_breach {
            leave_stopped(&running, &stop, at_breach, progress).await?;
        }
        Ok(Box::pin(end(running, stop, report)).await)
    })
}

/// Makes the steps of the scenario until something ends the run.
async fn run_steps(running: &RunningMachine, report: &mut GuestReport, progress: &Progress) -> Stop {
    let say = |doing: &str| progress.say(doing);
    let context = running.step_context(&say);
    match running.supervise(run_scenario(&context, report)).await {
        Ok(()) => running.power_off().await,
        Err(stop) => stop,
    }
}
