//! One run on its own: its machine is started, driven through the scenario, and ended.

use super::choose_start::choose_start;
use super::drive::run_scenario;
use super::end::end;
use super::launch::Launch;
use super::live::Live;
use super::observer::Alarm;
use super::runtime::runtime;
use super::start::start;
use super::stop::Stop;
use crate::run::prepare::prepared::Prepared;
use crate::run::record::run_record::RunRecord;
use crate::run::record::told::Told;
use crate::trouble::Trouble;
use rig_images::Progress;
use std::time::Instant;

/// Runs what was prepared, to the end of its machine. `total` is when the command began.
pub(crate) fn conduct(prepared: Prepared, total: Instant, progress: &Progress) -> Result<RunRecord, Trouble> {
    let runtime = runtime()?;
    let launch = Launch { start: choose_start(&prepared, &runtime, progress)?, orders: None, total };
    runtime.block_on(async {
        let live = Box::pin(start(prepared.into_parts(), launch)).await?;
        let mut told = Told::default();
        let stop = drive(&live, &mut told, progress).await;
        if let Stop::Alarm(Alarm::Breach(breach)) = &stop {
            progress.say(&breach.summary());
        }
        Ok(Box::pin(end(live, stop, told)).await)
    })
}

/// Drives the scenario until something ends it.
async fn drive(live: &Live, told: &mut Told, progress: &Progress) -> Stop {
    let say = |doing: &str| progress.say(doing);
    let drive = live.driver(&say);
    match live.until_ended(run_scenario(&drive, told)).await {
        Ok(()) => live.power_off().await,
        Err(stop) => stop,
    }
}
