//! Programs that the guest runs for a scenario.

use super::context::StepContext;
use super::error::{StepError, failed};
use crate::guest::GuestError;
use crate::run::record::guest_report::GuestReport;
use rig_wire::agent::{Answer, Command, Executed};

/// Runs a program to its end.
pub(super) async fn execute(
    context: &StepContext<'_>,
    report: &mut GuestReport,
    doing: &str,
    command: Command,
) -> Result<Executed, StepError> {
    match context.ask(report, doing, command).await? {
        Answer::Executed(executed) => Ok(executed),
        other => Err(failed(report, GuestError::Unexpected(Box::new(other)))),
    }
}
