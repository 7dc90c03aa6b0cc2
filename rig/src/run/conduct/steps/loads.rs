//! What runs in the guest beside the updates.

use super::context::Drive;
use super::error::DriveError;
use crate::run::record::told::Told;
use crate::run::scripted;
use rig_wire::agent::{Answer, Command, Load};

/// Starts what runs beside the updates.
pub(crate) async fn start_loads(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    for load in &drive.scenario.load {
        drive.ask(told, "starting the load", Command::StartLoad { load: complete(load) }).await?;
    }
    Ok(())
}

/// Ends it, and has it tell what it did.
pub(crate) async fn stop_loads(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    if !drive.scenario.load.is_empty()
        && let Answer::Loads(reports) = drive.ask(told, "stopping the load", Command::StopLoads).await?
    {
        told.loads = reports;
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
