//! `rig images`

use super::output;
use crate::releases;
use crate::trouble::{Exit, Trouble};
use rig_images::{CacheEntry, Images, KernelRequest, Progress, VerifiedEntry};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Build everything that a run needs and that is not there yet
    Build {
        /// The kernel: the usual one, with the kernel's own checks, with the detector of data races, or fully preemptible
        #[arg(long, value_name = "NAME", default_value = "usual", value_parser = clap::builder::PossibleValuesParser::new(KernelRequest::PROFILES))]
        profile: String,
    },
    /// Write module images and the version mapping file that update clients read, as the release repository has them
    Module {
        /// Folder for `mapping_file.json` and `joined_files`; must not exist or be empty
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        /// Updates that follow the first module, an image each
        #[arg(long, value_name = "N", default_value_t = 3, value_parser = clap::value_parser!(u32).range(0..=90))]
        updates: u32,
        /// Scenario file (TOML), or the name of one that comes with the rig, whose images they are; without one, the plain update
        scenario: Option<PathBuf>,
    },
    /// List what is in the cache
    List,
    /// Read all that is in the cache and compare it with what was made; remove what is damaged and not in use
    Verify {
        /// Write one JSON object to stdout, and nothing else
        #[arg(long)]
        json: bool,
    },
    /// Remove what is in the cache and not in use
    Clean,
}

impl Arguments {
    /// Whether stdout is for one JSON object.
    pub(super) fn json(&self) -> bool {
        matches!(self.action, Action::Verify { json: true })
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    if let Action::Module { out, updates, scenario } = &arguments.action {
        return module(out, *updates, scenario.as_deref());
    }
    let images = Images::open(Progress::stderr())?;
    match &arguments.action {
        Action::Module { .. } => {}
        Action::Build { profile } => build(&images, profile)?,
        Action::List => list(&images.list()?),
        Action::Verify { json } => return Ok(verify(&images.verify()?, *json) as u8),
        Action::Clean => {
            let removed = images.clean(|_| false)?;
            list(&removed);
            let bytes = removed.iter().map(|e| e.size_bytes).sum();
            output::text_line(&format!("removed {} entries, {}", removed.len(), size(bytes)));
        }
    }
    Ok(0)
}

fn build(images: &Images, profile: &str) -> Result<(), Trouble> {
    let root = images.tool_root()?;
    let kernel = images.kernel(&KernelRequest::profile(profile)?)?;
    images.initramfs(&images.agent()?, &kernel.load_order("tdx-host")?, &[], None)?;
    images.plugin()?;
    output::text_line(&format!("QEMU {} and Linux {} are ready", root.qemu_version()?, kernel.release));
    Ok(())
}

fn module(out: &Path, updates: u32, scenario: Option<&Path>) -> Result<u8, Trouble> {
    let scenario = super::run::scenario_of(scenario)?;
    for path in releases::write(&releases::files(&scenario, updates)?, out)? {
        output::text_line(&path.display().to_string());
    }
    Ok(0)
}

/// Tells what was found; the exit code is 1 when anything is damaged.
fn verify(entries: &[VerifiedEntry], as_json: bool) -> Exit {
    let exit = if entries.iter().all(|one| one.damage.is_none()) { Exit::Passed } else { Exit::Failed };
    if as_json {
        output::json(&verified(entries, exit));
    } else {
        for one in entries {
            output::text_line(&line(one));
        }
        let damaged = entries.iter().filter(|one| one.damage.is_some()).count();
        output::text_line(&format!("{} entries, {damaged} of them damaged", entries.len()));
    }
    exit
}

fn line(VerifiedEntry { entry, damage, removed }: &VerifiedEntry) -> String {
    let CacheEntry { what, name, .. } = entry;
    match (damage, removed) {
        (None, _) => format!("ok       {what} ({name})"),
        (Some(why), true) => {
            format!("DAMAGED  {what} ({name}): {why}; it is removed, and made again when it is needed")
        }
        (Some(why), false) => format!("DAMAGED  {what} ({name}): {why}; it is in use and stays"),
    }
}

fn verified(entries: &[VerifiedEntry], exit: Exit) -> serde_json::Value {
    let one = |VerifiedEntry { entry, damage, removed }: &VerifiedEntry| {
        let CacheEntry { name, what, size_bytes, path, .. } = entry;
        json!({ "name": name, "what": what, "size_bytes": size_bytes, "path": path, "damage": damage, "removed": removed })
    };
    json!({ "entries": entries.iter().map(one).collect::<Vec<_>>(), "exit_code": exit as u8 })
}

fn list(entries: &[CacheEntry]) {
    for entry in entries {
        let age = SystemTime::now().duration_since(entry.made).unwrap_or_default();
        let days = age.as_secs() / 86400;
        output::text_line(&format!("{:>9}  {days:>4} days  {}  ({})", size(entry.size_bytes), entry.what, entry.name));
    }
}

/// Bytes for people.
fn size(bytes: u64) -> String {
    match bytes {
        0..1_000_000 => format!("{} kB", bytes.div_ceil(1000)),
        1_000_000..1_000_000_000 => format!("{} MB", bytes / 1_000_000),
        _ => format!("{}.{} GB", bytes / 1_000_000_000, bytes / 100_000_000 % 10),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_for_people() {
        assert_eq!([1, 999_999, 38_000_000, 1_250_000_000].map(size), ["1 kB", "1000 kB", "38 MB", "1.2 GB"]);
    }

    fn entry(damage: Option<&str>, removed: bool) -> VerifiedEntry {
        let entry = CacheEntry {
            name: "qemu-1".into(),
            what: "QEMU".into(),
            size_bytes: 5,
            made: SystemTime::UNIX_EPOCH,
            path: "/c/qemu-1".into(),
        };
        VerifiedEntry { entry, damage: damage.map(str::to_owned), removed }
    }

    #[test]
    fn what_is_damaged_fails_the_verification_and_says_so() {
        let (good, bad) = (entry(None, false), entry(Some("usr/bin/qemu is missing"), true));
        assert_eq!(verify(std::slice::from_ref(&good), true), Exit::Passed);
        assert_eq!(verify(&[good.clone(), bad.clone()], true), Exit::Failed);
        assert_eq!(line(&good), "ok       QEMU (qemu-1)");
        assert!(line(&bad).starts_with("DAMAGED  QEMU (qemu-1): usr/bin/qemu is missing; it is removed"));
        assert!(line(&entry(Some("x"), false)).ends_with("it is in use and stays"));
        let json = verified(&[bad], Exit::Failed);
        assert_eq!(json["entries"][0]["damage"], "usr/bin/qemu is missing");
        assert_eq!((&json["entries"][0]["removed"], &json["exit_code"]), (&json!(true), &json!(1)));
    }
}
