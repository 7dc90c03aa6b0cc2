//! The rehearsal of real hardware: the program for TDX hosts, static as it is, runs in the emulated machine.

use super::drive::{Drive, DriveError, Told, failed};
use super::folder::RunFolder;
use super::plan::update_image;
use crate::guest::GuestError;
use crate::scenario::{HwOrder, Scenario};
use crate::trouble::Trouble;
use rig_images::Images;
use rig_judge::verdict::Check;
use rig_wire::agent::{Answer, Command, EVIDENCE, Executed, MAX_READ};
use seam_emu::image::mapping_file;

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
    ended: Executed,
    /// What `version` reads afterwards; none: the module is lost.
    version: Option<String>,
    /// Evidence, by file name.
    files: Vec<(&'static str, Vec<u8>)>,
}

/// What orders need in the guest's file system.
pub(super) fn files(images: &Images, scenario: &Scenario) -> Result<Vec<(String, Vec<u8>)>, Trouble> {
    if scenario.hw.is_empty() {
        return Ok(Vec::new());
    }
    let program = images.hw()?;
    let bytes = std::fs::read(&program).map_err(|e| Trouble::file("read", &program, &e))?;
    let mut files = vec![(PROGRAM.to_owned(), bytes)];
    let mut specs = Vec::new();
    for number in 1..=UPDATES {
        let (image, _) = update_image(scenario, number)?;
        let spec = super::plan::update_spec(scenario, number);
        let (series, version) = (format!("{}.{}", spec.major, spec.minor), spec.version_string());
        files.push((format!("{IMAGES}/joined_files/{series}/tdx_module_{version}.blob"), image));
        specs.push(spec);
    }
    // The release that runs is in the file, too, so that the others may follow it.
    specs.insert(0, scenario.module.clone());
    files.push((format!("{IMAGES}/mapping_file.json"), mapping_file(&specs).into_bytes()));
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
            let ended = match self.ask(told, &doing, command).await? {
                Answer::Executed(ended) => ended,
                other => return Err(failed(told, GuestError::Unexpected(Box::new(other)))),
            };
            let mut files = Vec::new();
            if order.leaves_evidence() {
                for name in FETCHED {
                    let bytes = self.fetch(&format!("{folder}/{name}")).await;
                    files.extend(bytes.map_err(|error| failed(told, error))?.map(|bytes| (name, bytes)));
                }
            }
            let version = self.version(told).await?;
            told.after.clone_from(&version);
            told.hw.push(Ordered { ended, version, files });
        }
        Ok(())
    }

    /// A file of the guest, whatever its length; none: it is not there.
    async fn fetch(&self, path: &str) -> Result<Option<Vec<u8>>, GuestError> {
        let mut bytes = Vec::new();
        loop {
            let command = Command::ReadPart { path: path.to_owned(), offset: bytes.len() as u64 };
            match self.guest.request(command).await {
                Ok(Answer::Bytes(part)) => {
                    bytes.extend(&part);
                    if part.len() < MAX_READ as usize {
                        return Ok(Some(bytes));
                    }
                }
                Ok(other) => return Err(GuestError::Unexpected(Box::new(other))),
                Err(GuestError::Failed(failure)) if failure.errno == Some(super::drive::ENOENT) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }
}

/// What orders had to come to.
pub(super) fn checks(orders: &[HwOrder], told: &[Ordered]) -> Vec<Check> {
    let check = |name: String, expected: String, seen: String| Check { met: expected == seen, name, expected, seen };
    let mut checks = Vec::new();
    for (number, order) in orders.iter().enumerate() {
        let name = format!("rig-hw {}", order.arguments.join(" "));
        let Some(ordered) = told.get(number) else {
            checks.push(check(name, "done".into(), "not begun".into()));
            continue;
        };
        let Executed { code, stdout, stderr } = &ordered.ended;
        checks.push(check(name.clone(), format!("exit code {}", order.code), format!("exit code {code}")));
        let said = [stdout, stderr].map(|bytes| String::from_utf8_lossy(bytes)).concat();
        for words in &order.says {
            let seen = if said.contains(words.as_str()) { words.as_str() } else { "it does not say so" };
            checks.push(check(name.clone(), words.clone(), seen.into()));
        }
        if let Some(version) = &order.version {
            let seen = ordered.version.as_deref().unwrap_or("lost");
            checks.push(check(format!("version after {name}"), version.clone(), seen.into()));
        }
    }
    checks
}

/// What each order said and left, as files of the run folder.
pub(super) fn keep(folder: &RunFolder, told: &[Ordered]) -> Result<(), Trouble> {
    for (number, ordered) in told.iter().enumerate().map(|(index, ordered)| (index + 1, ordered)) {
        folder.write(&format!("hw-{number}.out"), &ordered.ended.stdout)?;
        folder.write(&format!("hw-{number}.err"), &ordered.ended.stderr)?;
        for (name, bytes) in &ordered.files {
            folder.write(&format!("hw-{number}-{name}"), bytes)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(code: i32, said: &str, version: Option<&str>) -> Ordered {
        let ended = Executed { code, stdout: said.into(), stderr: b"error: x".into() };
        Ordered { ended, version: version.map(Into::into), files: Vec::new() }
    }

    #[test]
    fn what_an_order_had_to_come_to_is_checked() {
        let order = HwOrder {
            arguments: vec!["check".into()],
            code: 5,
            says: vec!["error: x".into(), "not".into()],
            version: Some("lost".into()),
        };
        let met =
            |told: &[Ordered]| checks(std::slice::from_ref(&order), told).iter().map(|c| c.met).collect::<Vec<_>>();
        assert_eq!(met(&[ordered(5, "it is not so", None)]), [true, true, true, true]);
        assert_eq!(met(&[ordered(0, "", Some("1.5.06"))]), [false, true, false, false]);
        assert_eq!(met(&[]), [false]);
    }
}
