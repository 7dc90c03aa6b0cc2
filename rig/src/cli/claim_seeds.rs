//! Schedules from seeds, for a claim.

use super::target::MachineFlags;
use crate::claim::SeedsResult;
use crate::explore::evidence::RESULTS;
use crate::explore::explorer::{self, ExploreRequest};
use crate::explore::results::{FORM, Header, Results};
use crate::explore::schedule::{self, Strategy};
use crate::explore::shard::Shard;
use crate::explore::view::View;
use crate::scenario::{Claim, Scenario};
use crate::trouble::Trouble;
use rig_images::Progress;
use std::path::Path;

/// Explores the claim's seeds with the scenario's loads, one machine at a time; its own holds are left out.
pub(super) fn explore_seeds(
    claim: &Claim,
    scenario: Scenario,
    folder: &Path,
    progress: &Progress,
) -> Result<SeedsResult, Trouble> {
    let target = MachineFlags::default();
    let folder = folder.join("seeds");
    std::fs::create_dir_all(&folder).map_err(|e| Trouble::file("make", &folder, &e))?;
    let (scenario, _own) = target.apply(scenario)?;
    let (cpus, strategy) = (scenario.cpus, Strategy::default());
    let sessions = target.sessions(scenario.clone(), &folder.join("base"), progress)?;
    let header = Header {
        form: FORM,
        schedules: schedule::FORM,
        strategy,
        kernel: sessions.kernel().to_owned(),
        made_of: sessions.explored()?,
        scenario,
    };
    let mut results = Results::open(&folder.join(RESULTS), &header)?;
    let request = ExploreRequest {
        seeds: 0..claim.seeds,
        shard: Shard::WHOLE,
        strategy,
        workers: 1,
        time: None,
        stop_on_first: false,
        folder: folder.clone(),
    };
    let view = View::new(0, Some(claim.seeds));
    explorer::explore(&request, &sessions, cpus, &mut results, &view)?;
    view.end();
    let latest: Vec<_> = results.found.latest().collect();
    let judged = latest.iter().filter(|result| result.is_judged()).count() as u64;
    let shown = latest.iter().find(|result| result.broken.iter().any(|broken| claim.is_shown_by(broken)));
    Ok(SeedsResult {
        judged,
        not_judged: claim.seeds - judged,
        failed: latest.iter().filter(|result| result.has_failed()).count() as u64,
        shown: shown.map(|result| (result.seed, result.run.as_ref().map(|run| folder.join(run)))),
    })
}
