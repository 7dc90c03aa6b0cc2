//! The whole scenario, from the agent's first message to its last.

use super::boot::boot;
use super::clients::run_clients;
use super::context::Drive;
use super::cpus::switch_cpus;
use super::error::DriveError;
use super::hw::run_orders;
use super::loads::{start_loads, stop_loads};
use super::readings::{read_after, read_before};
use super::tds::{end_tds, start_tds};
use super::update::update;
use crate::run::record::told::Told;
use crate::run::record::upload::Upload;
use crate::scenario::Moment;
use rig_wire::agent::Command;
use std::time::Instant;

/// Drives one guest through its scenario.
pub(crate) async fn run_scenario(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    boot(drive, told).await?;
    if !told.absent {
        read_before(drive, told).await?;
    }
    switch_cpus(drive, told, Moment::Before).await?;
    start_loads(drive, told).await?;
    start_tds(drive, told).await?;
    let started = Instant::now();
    for number in 1..=drive.scenario.updates {
        if told.absent {
            break;
        }
        update(drive, told, number).await?;
        told.update = started.elapsed();
        if !drive.scenario.keep_going && !told.updates.last().is_some_and(Upload::succeeded) {
            break;
        }
    }
    run_orders(drive, told).await?;
    run_clients(drive, told).await?;
    end_tds(drive, told).await?;
    stop_loads(drive, told).await?;
    switch_cpus(drive, told, Moment::After).await?;
    read_after(drive, told).await;
    drive.ask(told, "powering off", Command::PowerOff).await.map(drop)
}
