//! Programs that are not the rig's drive the update: Debian's own, or one that somebody brings, on a part of Debian.

use super::drive::{Drive, DriveError, Told};
use super::folder::RunFolder;
use super::program::{Demand, Ended};
use crate::machine::snapshot::hex;
use crate::releases;
use crate::scenario::{ClientOrder, Scenario, Userspace};
use crate::trouble::{Exit, Trouble};
use rig_images::Artifact;
use rig_judge::verdict::Check;
use rig_wire::agent::Command;
use sha2::{Digest, Sha256};
use std::path::Path;
use walkdir::WalkDir;

/// Where images and what is brought lie in the guest.
const FOLDER: &str = "client";
/// Updates whose images are there.
const UPDATES: u32 = 3;
/// More is no program, but a whole checkout.
const MAX_BYTES: u64 = 64 << 20;

/// What clients need in the guest's file system besides Debian's packages.
pub(super) fn files(scenario: &Scenario) -> Result<Vec<releases::File>, Trouble> {
    let Some(userspace) = &scenario.userspace else { return Ok(Vec::new()) };
    let mut files = brought(&scenario.name, userspace)?;
    files.extend(releases::files(scenario, UPDATES)?);
    Ok(files.into_iter().map(|(name, bytes)| (format!("{FOLDER}/{name}"), bytes)).collect())
}

/// What was brought for a scenario. That something was not is nobody's fault: then the run is skipped.
pub(super) fn artifacts(scenario: &Scenario) -> Result<Vec<Artifact>, Trouble> {
    let Some(userspace) = &scenario.userspace else { return Ok(Vec::new()) };
    let artifact = |(name, bytes): releases::File| Artifact {
        name,
        version: String::new(),
        sha256: hex(&Sha256::digest(bytes)),
        path: None,
    };
    Ok(brought(&scenario.name, userspace)?.into_iter().map(artifact).collect())
}

fn brought(scenario: &str, userspace: &Userspace) -> Result<Vec<releases::File>, Trouble> {
    let mut files = Vec::new();
    for path in &userspace.given {
        add(&mut files, path)?;
    }
    match userspace.brings.iter().find(|brought| files.iter().all(|(name, _)| *name != brought.name)) {
        Some(brought) => {
            let cause = format!("{scenario} needs {}, which is no part of the rig and was not given", brought.name);
            let help = format!("give it with --client PATH; it comes from {}", brought.from);
            Err(Trouble { exit: Exit::Skipped, cause, help })
        }
        None => Ok(files),
    }
}

/// A file by its name, or all files of a folder by their paths in it.
fn add(files: &mut Vec<releases::File>, given: &Path) -> Result<(), Trouble> {
    let failed = |e: walkdir::Error| Trouble::file("read", given, &e.into());
    let root = if given.is_dir() { given } else { given.parent().unwrap_or(Path::new("")) };
    let mut bytes = 0;
    for entry in WalkDir::new(given).follow_links(true).sort_by_file_name() {
        let entry = entry.map_err(failed)?;
        if !entry.file_type().is_file() {
            continue;
        }
        bytes += entry.metadata().map_err(failed)?.len();
        if bytes > MAX_BYTES {
            let cause = format!("{} holds more than {} MiB", given.display(), MAX_BYTES >> 20);
            return Err(Trouble::usage(cause, "give the client's own files with --client, not the folder around them"));
        }
        let name = entry.path().strip_prefix(root).expect("it lies below").to_string_lossy().into_owned();
        let content = std::fs::read(entry.path()).map_err(|e| Trouble::file("read", entry.path(), &e))?;
        files.push((name, content));
    }
    Ok(())
}

impl Drive<'_> {
    /// Every client, one after another.
    pub(super) async fn clients(&self, told: &mut Told) -> Result<(), DriveError> {
        for order in &self.scenario.clients {
            let (program, arguments) = (order.program.clone(), order.arguments.clone());
            let executed = self.execute(told, &name(order), Command::Execute { program, arguments }).await?;
            let version = self.version(told).await?;
            told.after.clone_from(&version);
            told.clients.push(Ended { executed, version });
        }
        Ok(())
    }
}

/// Programs after which another version ran than before.
pub(super) fn updates(before: Option<&str>, told: &[Ended]) -> usize {
    let versions: Vec<_> = [before].into_iter().chain(told.iter().map(|ended| ended.version.as_deref())).collect();
    versions.windows(2).filter(|pair| pair[1].is_some() && pair[0] != pair[1]).count()
}

/// What clients had to come to.
pub(super) fn checks(orders: &[ClientOrder], told: &[Ended]) -> Vec<Check> {
    let demand =
        |order| Demand { name: name(order), code: order.code, says: &order.says, version: order.version.as_deref() };
    orders.iter().enumerate().flat_map(|(number, order)| demand(order).checks(told.get(number))).collect()
}

/// What each client said, as files of the run folder.
pub(super) fn keep(folder: &RunFolder, told: &[Ended]) -> Result<(), Trouble> {
    (1..).zip(told).try_for_each(|(number, ended)| ended.keep(folder, &format!("client-{number}")))
}

/// The program and its arguments, as far as they fit into a line.
fn name(order: &ClientOrder) -> String {
    let program = Path::new(&order.program).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let words = order.arguments.iter().filter_map(|argument| argument.lines().next());
    let words: Vec<&str> = words.filter(|line| line.len() < 40).collect();
    [&[program.as_str()], words.as_slice()].concat().join(" ")
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
