//! The rehearsal of real hardware: the program for TDX hosts, static as it is, runs in the emulated machine.

use super::context::Drive;
use super::error::{DriveError, failed};
use super::execute::execute;
use super::readings::version;
use crate::run::prepare::hw::PROGRAM;
use crate::run::record::hw::Ordered;
use crate::run::record::program::Ended;
use crate::run::record::told::Told;
use rig_wire::agent::{Command, EVIDENCE};

/// Files of the evidence that are fetched.
const FETCHED: [&str; 5] = ["events.bin", "verdict.json", "kmsg.log", "junit.xml", "ktap.txt"];

/// Every order, one after another.
pub(super) async fn run_orders(drive: &Drive<'_>, told: &mut Told) -> Result<(), DriveError> {
    for (number, order) in drive.scenario.hw.iter().enumerate() {
        let folder = format!("{EVIDENCE}/order-{}", number + 1);
        let mut arguments = order.arguments.clone();
        if order.leaves_evidence() {
            arguments.extend(["--out".to_owned(), folder.clone()]);
        }
        let doing = format!("rig-hw {}", order.arguments.join(" "));
        let command = Command::Execute { program: format!("/{PROGRAM}"), arguments };
        let executed = execute(drive, told, &doing, command).await?;
        let mut files = Vec::new();
        if order.leaves_evidence() {
            for name in FETCHED {
                let bytes = drive.guest.fetch(&format!("{folder}/{name}")).await;
                files.extend(bytes.map_err(|error| failed(told, error))?.map(|bytes| (name, bytes)));
            }
        }
        let version = version(drive, told).await?;
        told.after.clone_from(&version);
        told.hw.push(Ordered { ended: Ended { executed, version }, files });
    }
    Ok(())
}
