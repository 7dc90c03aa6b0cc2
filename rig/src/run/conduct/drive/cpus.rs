//! CPUs of the guest that the scenario takes on and off line.

use super::context::Drive;
use super::error::{DriveError, failed};
use crate::guest::GuestError;
use crate::run::record::told::Told;
use crate::scenario::{CpuState, Moment};
use rig_wire::agent::Command;

/// Switches the CPUs that the scenario switches at this moment. A refusal is an outcome, like that of an update.
pub(super) async fn switch_cpus(drive: &Drive<'_>, told: &mut Told, when: Moment) -> Result<(), DriveError> {
    for switch in drive.scenario.switches.iter().filter(|switch| switch.when == when) {
        let (digit, word) = match switch.to {
            CpuState::Online => (b"1", "online"),
            CpuState::Offline => (b"0", "offline"),
        };
        drive.doing(told, &format!("taking CPU {} {word}", switch.cpu));
        let path = format!("/sys/devices/system/cpu/cpu{}/online", switch.cpu);
        let errno = match drive.guest.request(Command::Write { path, data: digit.to_vec() }).await {
            Ok(_) => None,
            Err(GuestError::Failed(failure)) if failure.errno.is_some() => failure.errno,
            Err(error) => return Err(failed(told, error)),
        };
        told.switches.push((switch.clone(), errno));
    }
    Ok(())
}
