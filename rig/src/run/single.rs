//! One run of its own, from what was prepared to its verdict.

use super::conclude::verdict::conclude;
use super::conduct::whole_run::conduct;
use super::nested::run_nested;
use super::prepare::assemble::prepare;
use super::prepare::options::Options;
use super::prepare::prepared::Prepared;
use crate::scenario::Scenario;
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_judge::Verdict;
use rig_wire::agent::Executed;
use std::path::Path;
use std::time::Instant;

/// Runs what was prepared. `total` is when the command began. The verdict is in the run folder, too.
pub fn run(prepared: Prepared, total: Instant, progress: &Progress) -> Result<Verdict, Trouble> {
    conclude(&conduct(prepared, total, progress)?)
}

/// Runs what was prepared, whose scenario has one client; how that ended, too, if it did.
pub fn run_program(
    prepared: Prepared,
    total: Instant,
    progress: &Progress,
) -> Result<(Verdict, Option<Executed>), Trouble> {
    let record = conduct(prepared, total, progress)?;
    let executed = record.guest.clients.first().map(|end| end.executed.clone());
    Ok((conclude(&record)?, executed))
}

/// Runs a scenario on a kernel that few other runs will have, in silence, with its evidence in `folder`, which is made anew. The
/// machine boots: a snapshot of each such kernel would push those out that are used again.
pub fn run_anew(scenario: Scenario, folder: &Path) -> Result<Verdict, Trouble> {
    if folder.exists() {
        std::fs::remove_dir_all(folder).map_err(|e| Trouble::file("remove", folder, &e))?;
    }
    let options = Options { out: Some(folder.to_owned()), cold: true, ..Options::default() };
    let (silent, started) = (Progress::silent(), Instant::now());
    match scenario.nested.clone() {
        Some(nested) => run_nested(&scenario, &nested, &options, started, &silent),
        None => run(prepare(scenario, &options, &silent)?, started, &silent),
    }
}
