//! The rehearsal of real hardware: the program for TDX hosts, static as it is, runs in the emulated machine.

use super::drive::{Drive, DriveError, Told, failed};
use super::folder::RunFolder;
use super::program::{Demand, Ended};
use crate::releases;
use crate::scenario::{HwOrder, Scenario};
use crate::trouble::Trouble;
use rig_images::Images;
use rig_judge::verdict::Check;
use rig_wire::agent::{Command, EVIDENCE};

/// The program in the guest.
const PROGRAM: &str = "bin/rig-hw";
/// Where the images are, as the release repository has them.
const IMAGES: &str = "hw";
/// Updates whose images are there.
const UPDATES: u32 = 3;
/// Files of the evidence that are fetched.
const FETCHED: [&str; 5] = ["events.bin", "verdict.json", "kmsg.log", "junit.xml", "ktap.txt"];

/// How one order ended.
#[derive(Debug)]
pub(crate) struct Ordered {
    ended: Ended,
    /// Evidence, by file name.
    files: Vec<(&'static str, Vec<u8>)>,
}

impl Ordered {
    /// How the program ended.
    pub(super) fn ended(&self) -> &Ended {
        &self.ended
    }
}

/// What orders need in the guest's file system.
pub(super) fn files(images: &Images, scenario: &Scenario) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
    if scenario.hw.is_empty() {
        return Ok(Vec::new());
    }
    let program = images.hw()?;
    let bytes = std::fs::read(&program).map_err(|e| Trouble::file("read", &program, &e))?;
    let mut files = vec![(PROGRAM.to_owned(), bytes)];
    let releases = releases::files(scenario, UPDATES)?;
    files.extend(releases.into_iter().map(|(name, bytes)| (format!("{IMAGES}/{name}"), bytes)));
    Ok(files)
}

impl Drive<'_> {
    /// Every order, one after another.
    pub(super) async fn hardware(&self, told: &mut Told) -> Result<(), DriveError> {
        for (number, order) in self.scenario.hw.iter().enumerate() {
            let folder = format!("{EVIDENCE}/order-{}", number + 1);
            let mut arguments = order.arguments.clone();
            if order.leaves_evidence() {
                arguments.extend(["--out".to_owned(), folder.clone()]);
            }
            let doing = format!("rig-hw {}", order.arguments.join(" "));
            let command = Command::Execute { program: format!("/{PROGRAM}"), arguments };
            let executed = self.execute(told, &doing, command).await?;
            let mut files = Vec::new();
            if order.leaves_evidence() {
                for name in FETCHED {
                    let bytes = self.guest.fetch(&format!("{folder}/{name}")).await;
                    files.extend(bytes.map_err(|error| failed(told, error))?.map(|bytes| (name, bytes)));
                }
            }
            let version = self.version(told).await?;
            told.after.clone_from(&version);
            told.hw.push(Ordered { ended: Ended { executed, version }, files });
        }
        Ok(())
    }
}

/// What orders had to come to.
pub(super) fn checks(orders: &[HwOrder], told: &[Ordered]) -> Vec<Check> {
    let mut checks = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        let (name, version) = (format!("rig-hw {}", order.arguments.join(" ")), order.version.as_deref());
        let demand = Demand { name, code: order.code, says: &order.says, version };
        checks.extend(demand.checks(told.get(number).map(|ordered| &ordered.ended)));
    }
    checks
}

/// What each order said and left, as files of the run folder.
pub(super) fn keep(folder: &RunFolder, told: &[Ordered]) -> Result<(), Trouble> {
    for (number, ordered) in (1..).zip(told) {
        ordered.ended.keep(folder, &format!("hw-{number}"))?;
        for (name, bytes) in &ordered.files {
            folder.write(&format!("hw-{number}-{name}"), bytes)?;
        }
    }
    Ok(())
}
