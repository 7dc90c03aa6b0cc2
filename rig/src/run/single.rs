//! One run of its own, from what was prepared to its verdict.

use super::conclude::verdict::conclude;
use super::conduct::whole_run::conduct;
use super::prepare::prepared::Prepared;
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_judge::Verdict;
use std::time::Instant;

/// Runs what was prepared. `total` is when the command began. The verdict is in the run folder, too.
pub fn run(prepared: Prepared, total: Instant, progress: &Progress) -> Result<Verdict, Trouble> {
    conclude(&conduct(prepared, total, progress)?)
}
