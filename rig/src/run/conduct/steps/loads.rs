//! What runs in the guest beside the updates.

use super::context::StepContext;
use super::error::StepError;
use crate::run::record::guest_report::GuestReport;
use crate::run::scripted;
use rig_wire::agent::{Answer, Command, Load};

/// Starts what runs beside the updates.
pub(crate) async fn start_loads(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    for load in &context.scenario.load {
        context.ask(report, "starting the load", Command::StartLoad { load: complete(load) }).await?;
    }
    Ok(())
}

/// Ends the loads, and keeps their reports.
pub(crate) async fn stop_loads(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    if !context.scenario.load.is_empty()
        && let Answer::Loads(reports) = context.ask(report, "stopping the load", Command::StopLoads).await?
    {
        report.loads = reports;
    }
    Ok(())
}

/// The load with what only the rig knows.
fn complete(load: &Load) -> Load {
    let mut load = load.clone();
    if let Load::TrustDomain { tds, vcpus, scripts, .. } = &mut load {
        let number = (0..*tds).flat_map(|td| (0..*vcpus).map(move |vcpu| (td, vcpu)));
        *scripts = number.map(|(td, vcpu)| scripted::script(td, vcpu)).collect();
    }
    load
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    #[test]
    fn trust_domains_get_a_script_for_each_virtual_cpu() {
        let asked = load("profile = \"trust-domain\"\ntds = 2\nvcpus = 3");
        let Load::TrustDomain { scripts, .. } = complete(&asked) else { panic!("another load") };
        assert_eq!(scripts.len(), 6);
        assert_ne!(scripts[0], scripts[3]);
    }
}
