//! Programs that are not the rig's drive the update.

use super::context::Drive;
use super::error::DriveError;
use super::execute::execute;
use super::readings::version;
use crate::run::record::program::Ended;
use crate::run::record::told::Told;
use rig_wire::agent::Command;

/// Every client, one after another.
pub(super) async fn run_clients(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    for order in &drive.scenario.clients {
        let (program, arguments) = (order.program.clone(), order.arguments.clone());
        let executed = execute(drive, told, &order.title(), Command::Execute { program, arguments }).await?;
        let version = version(drive, told).await?;
        told.after.clone_from(&version);
        told.clients.push(Ended { executed, version });
    }
    Ok(())
}
