//! What `rig series` and `rig bisect` share.

use super::run::scenario_of;
use super::suite::room;
use crate::run::needs_own_modules;
use crate::scenario::{Scenario, Tag, catalogue};
use crate::suite::Room;
use crate::trouble::Trouble;
use rig_images::{Images, Progress};
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct SeriesFlags {
    /// What is run on each kernel: a scenario file or the name of a scenario; may be repeated [default: the quick suite]
    #[arg(long = "scenario", value_name = "NAME")]
    scenarios: Vec<PathBuf>,
    /// Machines at once; one kernel is built at a time [default: as for `rig suite`]
    #[arg(long, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
    /// Folder of sources (2 GB each), results and evidence; results in it are used again if nothing changed [default: runs/series]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl SeriesFlags {
    /// The folder, made.
    pub(super) fn folder(&self) -> Result<PathBuf, Trouble> {
        made(self.out.as_deref().unwrap_or(Path::new("runs/series")))
    }

    /// The same for a command that somebody's tool begins in a folder of theirs.
    pub(super) fn folder_in_cache(&self) -> Result<PathBuf, Trouble> {
        match &self.out {
            Some(out) => made(out),
            None => made(&Images::open(Progress::silent())?.cache_folder().join("series")),
        }
    }

    /// Machines at once.
    pub(super) fn room(&self) -> Room {
        room(self.jobs)
    }

    /// What is run, and what of the suite is not.
    pub(super) fn scenarios(&self) -> Result<(Vec<Scenario>, Vec<String>), Trouble> {
        if self.scenarios.is_empty() {
            return Ok(of_suite(catalogue::suite(Tag::Quick)));
        }
        let scenarios: Vec<Scenario> =
            self.scenarios.iter().map(|name| scenario_of(Some(name))).collect::<Result<_, _>>()?;
        if let Some((scenario, why)) = scenarios.iter().find_map(|s| unfit(s).map(|why| (s, why))) {
            let cause = format!("{} cannot be run on kernels of a series: {why}", scenario.name);
            return Err(Trouble::usage(cause, "name another scenario"));
        }
        Ok((scenarios, Vec::new()))
    }
}

fn of_suite(suite: Vec<Scenario>) -> (Vec<Scenario>, Vec<String>) {
    let (unfit_ones, fit): (Vec<Scenario>, Vec<Scenario>) = suite.into_iter().partition(|s| unfit(s).is_some());
    let line = |s: &Scenario| format!("{}: {}", s.name, unfit(s).unwrap_or_default());
    (fit, unfit_ones.iter().map(line).collect())
}

/// Why a scenario cannot be run on a kernel of a series.
fn unfit(scenario: &Scenario) -> Option<&'static str> {
    if scenario.kernel.is_some() {
        Some("it names a kernel of its own")
    } else if needs_own_modules(scenario) {
        Some("it needs a kernel module of the rig's, and a series keeps no source of a kernel to build one against")
    } else {
        None
    }
}

fn made(path: &Path) -> Result<PathBuf, Trouble> {
    std::fs::create_dir_all(path).map_err(|e| Trouble::file("make", path, &e))?;
    path.canonicalize().map_err(|e| Trouble::file("use", path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(names: &[&str]) -> SeriesFlags {
        SeriesFlags { scenarios: names.iter().map(PathBuf::from).collect(), jobs: None, out: None }
    }

    #[test]
    fn without_a_name_the_quick_suite_is_run_as_far_as_it_can_be() {
        let (scenarios, left_out) = flags(&[]).scenarios().unwrap();
        assert!(scenarios.len() > 20, "{}", scenarios.len());
        assert_eq!(scenarios.len() + left_out.len(), catalogue::suite(Tag::Quick).len());
        assert!(left_out.iter().any(|line| line.starts_with("irq-seamcalls: ")), "{left_out:?}");
    }

    #[test]
    fn a_named_scenario_that_cannot_be_run_is_refused() {
        assert_eq!(flags(&["plain", "five-updates"]).scenarios().unwrap().0.len(), 2);
        assert!(flags(&["irq-seamcalls"]).scenarios().unwrap_err().cause.contains("irq-seamcalls cannot be run"));
        assert!(flags(&["plian"]).scenarios().unwrap_err().help.contains("`plain`"));
    }
}
