//! The rehearsal of real hardware: the program for TDX hosts, static as it is, runs in the emulated machine.

use super::context::StepContext;
use super::error::{StepError, failed};
use super::execute::execute;
use super::readings::version;
use crate::run::prepare::hw::PROGRAM;
use crate::run::record::guest_report::GuestReport;
use crate::run::record::hw::OrderEnd;
use crate::run::record::program::ProgramEnd;
use rig_wire::agent::{Command, EVIDENCE};

/// Files of the evidence that are fetched.
const FETCHED: [&str; 5] = ["events.bin", "verdict.json", "kmsg.log", "junit.xml", "ktap.txt"];

/// Every order, one after another.
pub(super) async fn run_orders(context: &StepContext<'_>, report: &mut GuestReport) -> Result<(), StepError> {
    for (number, order) in context.scenario.hw.iter().enumerate() {
        let folder = format!("{EVIDENCE}/order-{}", number + 1);
        let mut arguments = order.arguments.clone();
        if order.leaves_evidence() {
            arguments.extend(["--out".to_owned(), folder.clone()]);
        }
        let doing = format!("rig-hw {}", order.arguments.join(" "));
        let command = Command::Execute { program: format!("/{PROGRAM}"), arguments };
        let executed = execute(context, report, &doing, command).await?;
        let mut files = Vec::new();
        if order.leaves_evidence() {
            for name in FETCHED {
                let bytes = context.guest.fetch(&format!("{folder}/{name}")).await;
                files.extend(bytes.map_err(|error| failed(report, error))?.map(|bytes| (name, bytes)));
            }
        }
        let version = version(context, report).await?;
        report.after.clone_from(&version);
        report.hw.push(OrderEnd { program: ProgramEnd { executed, version }, files });
    }
    Ok(())
}
