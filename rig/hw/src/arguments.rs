//! The commands and their arguments, as `cargo rig hw` and `rig-hw` have them.

use crate::load::PROFILES;
use crate::version::Version;
use clap::{Args, Subcommand};
use std::path::PathBuf;
use std::time::Duration;

/// What the help shows.
pub const EXAMPLES: &str = "\
Examples (as root, on the TDX host):
  rig-hw check                                       what the host has, what it lacks, what mends it
  rig-hw check --repair                              put back what a command that was cut short left changed
  rig-hw update --mapping mapping_file.json          dry run: the newest image that fits, and why
  rig-hw update --mapping mapping_file.json --yes    update, observe, judge
  rig-hw update --to 1.5.24 --mapping mapping_file.json --yes
  rig-hw update --image tdx_module_1.5.24.blob --yes
  rig-hw stress --updates 5 --for 10m --load reader,cpu-hog --mapping mapping_file.json --yes
  rig-hw journal                                     what was done, and what was under way

Exit codes: 0 passed (or a dry run that found nothing against it), 1 an invariant broke or an update failed,
2 usage, 5 this host does not allow it, 6 refused because it would be unsafe.";

/// `rig hw ...`
#[derive(Clone, Debug, PartialEq, Subcommand)]
pub enum HwCommand {
    /// Say what this host has, what it lacks, and what mends it. Changes nothing without --repair.
    Check(CheckArguments),
    /// Update the TDX module once, under observation. A dry run without --yes.
    Update(UpdateArguments),
    /// Update again and again, beneath loads. Stops before the last remaining update. A dry run without --yes.
    Stress(StressArguments),
    /// Show what was done on this host, and what was under way when a command was cut short.
    Journal(Output),
}

/// How it is said.
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct Output {
    /// Print one JSON object on stdout.
    #[arg(long)]
    pub(crate) json: bool,
}

/// `rig hw check`
#[derive(Clone, Debug, PartialEq, Eq, Args)]
pub struct CheckArguments {
    /// First put back what a command that was killed left changed: CPUs, clock source, probes, tracing.
    #[arg(long)]
    pub(crate) repair: bool,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// The arguments that every change of the host takes.
#[derive(Clone, Debug, PartialEq, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is a flag of its own")]
pub(crate) struct ChangeArguments {
    /// Upload this image.
    #[arg(long, value_name = "FILE")]
    pub(crate) image: Option<PathBuf>,
    /// Go to this version; with --image, the version that the image is.
    #[arg(long, value_name = "VERSION")]
    pub(crate) to: Option<Version>,
    /// Choose by this mapping file of the release repository; images lie beside it or in `joined_files`.
    #[arg(long, value_name = "FILE")]
    pub(crate) mapping: Option<PathBuf>,
    /// Do it. Without this it is only said what would be done.
    #[arg(long)]
    pub(crate) yes: bool,
    /// Do it although trust domains run.
    #[arg(long)]
    pub(crate) with_tds: bool,
    /// Use up the last remaining update: the next one needs a reboot before.
    #[arg(long)]
    pub(crate) last: bool,
    /// Do it although a condition or a published rule is against it. This can lose the TDX module.
    #[arg(long)]
    pub(crate) force: bool,
    /// Do it although nothing can be observed: no invariant is judged then.
    #[arg(long)]
    pub(crate) blind: bool,
    /// Folder for the evidence [default: one under /var/lib/seamrig/runs].
    #[arg(long, value_name = "FOLDER")]
    pub(crate) out: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: Output,
}

/// `rig hw update`
#[derive(Clone, Debug, PartialEq, Args)]
pub struct UpdateArguments {
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}

/// `rig hw stress`
#[derive(Clone, Debug, PartialEq, Args)]
pub struct StressArguments {
    /// Updates to make, at most.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) updates: u32,
    /// Begin no update later than this (such as 10m).
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) within: Option<Duration>,
    /// Loads beside the updates, separated by commas: reader, cpu-hog, page-fault, timer, clocksource, hotplug.
    #[arg(long, value_delimiter = ',', value_parser = clap::builder::PossibleValuesParser::new(PROFILES.map(|(name, _)| name)))]
    pub(crate) load: Vec<String>,
    #[command(flatten)]
    pub(crate) change: ChangeArguments,
}
