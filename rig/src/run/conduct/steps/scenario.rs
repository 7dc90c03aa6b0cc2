//! The whole scenario, from the agent's first message to its last.

use super::boot::boot;
use super::clients::run_clients;
use super::context::StepContext;
use super::cpus::switch_cpus;
use super::error::StepError;
use super::hw::run_orders;
use super::loads::{start_loads, stop_loads};
use super::readings::{read_after, read_before};
use super::tds::{end_tds, start_tds};
use super::update::update;
use crate::run::record::guest_report::GuestReport;
use crate::run::record::upload::Upload;
use crate::scenario::Moment;
use rig_wire::agent::Command;
use std::time::Instant;

/// Makes all steps of the scenario in its guest.
pub(crate) async fn run_scenario(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    boot(context, report).await?;
    if !report.absent {
        read_before(context, report).await?;
    }
    switch_cpus(context, report, Moment::Before).await?;
    start_loads(context, report).await?;
    start_tds(context, report).await?;
    let started = Instant::now();
    for number in 1..=context.scenario.updates {
        if report.absent {
            break;
        }
        update(context, report, number).await?;
        report.update = started.elapsed();
        if !context.scenario.keep_going && !report.updates.last().is_some_and(Upload::succeeded) {
            break;
        }
    }
    run_orders(context, report).await?;
    run_clients(context, report).await?;
    end_tds(context, report).await?;
    stop_loads(context, report).await?;
    switch_cpus(context, report, Moment::After).await?;
    read_after(context, report).await;
    context.ask(report, "powering off", Command::PowerOff).await.map(drop)
}
