//! What clients need in the guest: programs that are not the rig's and drive the update, Debian's own or brought, on a part of
//! Debian.

use crate::releases;
use crate::scenario::{Scenario, Userspace};
use crate::trouble::{Exit, Trouble};
use rig_images::Artifact;
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
pub(crate) fn files(scenario: &Scenario) -> Result<Vec<releases::File>, Trouble> {
    let Some(userspace) = &scenario.userspace else { return Ok(Vec::new()) };
    let mut files = brought(&scenario.name, userspace)?;
    files.extend(releases::files(scenario, UPDATES)?);
    Ok(files.into_iter().map(|(name, bytes)| (format!("{FOLDER}/{name}"), bytes)).collect())
}

/// What was brought for a scenario. Where something was not brought the run is skipped, since that is no failure.
pub(crate) fn artifacts(scenario: &Scenario) -> Result<Vec<Artifact>, Trouble> {
    let Some(userspace) = &scenario.userspace else { return Ok(Vec::new()) };
    let artifact = |(name, bytes): releases::File| Artifact {
        name,
        version: String::new(),
        sha256: hex::encode(Sha256::digest(bytes)),
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

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
