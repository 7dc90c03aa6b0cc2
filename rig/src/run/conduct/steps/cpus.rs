//! CPUs of the guest that the scenario takes on and off line.

use super::context::StepContext;
use super::error::{StepError, failed};
use crate::guest::GuestError;
use crate::run::record::guest_report::GuestReport;
use crate::scenario::{CpuState, CpuSwitch, Moment};
use rig_wire::agent::Command;

/// Switches the CPUs that the scenario switches before or after its updates. A refusal is an outcome, like that of an update.
pub(super) async fn switch_cpus(
    context: &StepContext<'_>,
    report: &mut GuestReport,
    when: Moment,
) -> Result<(), StepError> {
    for switch in at(context, when) {
        context.doing(report, &format!("taking CPU {} {}", switch.cpu, switch.to.name()));
        let errno = switch_cpu(context, switch).await.map_err(|error| failed(report, error))?;
        report.switches.push((switch.clone(), errno));
    }
    Ok(())
}

/// The switches of this moment, in the scenario's order.
pub(super) fn at<'d>(context: &StepContext<'d>, when: Moment) -> impl Iterator<Item = &'d CpuSwitch> {
    context.scenario.switches.iter().filter(move |switch| switch.when == when)
}

/// Switches one CPU: the errno with which the kernel refuses, none if it does it.
pub(super) async fn switch_cpu(context: &StepContext<'_>, switch: &CpuSwitch) -> Result<Option<i32>, GuestError> {
    let digit = match switch.to {
        CpuState::Online => b"1",
        CpuState::Offline => b"0",
    };
    let path = format!("/sys/devices/system/cpu/cpu{}/online", switch.cpu);
    match context.guest.request(Command::Write { path, data: digit.to_vec() }).await {
        Ok(_) => Ok(None),
        Err(GuestError::Failed(failure)) if failure.errno.is_some() => Ok(failure.errno),
        Err(error) => Err(error),
    }
}
