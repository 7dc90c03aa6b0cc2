//! CPUs of the guest that the scenario takes on and off line.

use super::context::Drive;
use super::error::{DriveError, failed};
use crate::guest::GuestError;
use crate::run::record::told::Told;
use crate::scenario::{CpuState, CpuSwitch, Moment};
use rig_wire::agent::Command;

/// Switches the CPUs that the scenario switches before or after its updates. A refusal is an outcome, like that of an update.
pub(super) async fn switch_cpus(drive: &Drive<'_>, told: &mut Told, when: Moment) -> Result<(), DriveError> {
    for switch in at(drive, when) {
        drive.doing(told, &format!("taking CPU {} {}", switch.cpu, switch.to.name()));
        let errno = switch_cpu(drive, switch).await.map_err(|error| failed(told, error))?;
        told.switches.push((switch.clone(), errno));
    }
    Ok(())
}

/// The switches of this moment, in the scenario's order.
pub(super) fn at<'d>(drive: &Drive<'d>, when: Moment) -> impl Iterator<Item = &'d CpuSwitch> {
    drive.scenario.switches.iter().filter(move |switch| switch.when == when)
}

/// Switches one CPU: the errno with which the kernel refuses, none if it does it.
pub(super) async fn switch_cpu(drive: &Drive<'_>, switch: &CpuSwitch) -> Result<Option<i32>, GuestError> {
    let digit = match switch.to {
        CpuState::Online => b"1",
        CpuState::Offline => b"0",
    };
    let path = format!("/sys/devices/system/cpu/cpu{}/online", switch.cpu);
    match drive.guest.request(Command::Write { path, data: digit.to_vec() }).await {
        Ok(_) => Ok(None),
        Err(GuestError::Failed(failure)) if failure.errno.is_some() => Ok(failure.errno),
        Err(error) => Err(error),
    }
}
