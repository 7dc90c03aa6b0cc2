//! `rig images`

use super::output;
use crate::releases;
use crate::trouble::Trouble;
use rig_images::{CacheEntry, Images, KernelRequest, Progress};
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
    /// Remove what is in the cache and not in use
    Clean,
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
}
