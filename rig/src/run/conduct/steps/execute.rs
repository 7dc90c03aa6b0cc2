//! Programs that the guest runs for a scenario.

use super::context::Drive;
use super::error::{DriveError, failed};
use crate::guest::GuestError;
use crate::run::record::told::Told;
use rig_wire::agent::{Answer, Command, Executed};

/// Runs a program to its end.
pub(super) async fn execute(
    drive: &Drive<'_>,
    told: &mut Told,
    doing: &str,
    command: Command,
) -> Result<Executed, DriveError> {
    match drive.ask(told, doing, command).await? {
        Answer::Executed(executed) => Ok(executed),
        other => Err(failed(told, GuestError::Unexpected(Box::new(other)))),
    }
}
