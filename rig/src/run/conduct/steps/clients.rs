//! Clients: programs that are not the rig's make the update.

use super::context::StepContext;
use super::error::StepError;
use super::execute::execute;
use super::readings::version;
use crate::run::record::guest_report::GuestReport;
use crate::run::record::program::ProgramEnd;
use rig_wire::agent::Command;

/// Every client, one after another.
pub(super) async fn run_clients(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    for order in &context.scenario.clients {
        let (program, arguments) = (order.program.clone(), order.arguments.clone());
        let executed = execute(context, report, &order.title(), Command::Execute { program, arguments }).await?;
        let version = version(context, report).await?;
        report.after.clone_from(&version);
        report.clients.push(ProgramEnd { executed, version });
    }
    Ok(())
}
