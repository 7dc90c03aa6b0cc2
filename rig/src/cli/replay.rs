//! `rig replay`

use super::output;
use super::target::MachineFlags;
use crate::explore::evidence::{self, Schedule};
use crate::explore::repeat;
use crate::explore::repetition::{Repetition, RepetitionJudgement};
use crate::explore::schedule::{Space, Strategy, schedule};
use crate::explore::tally::Tally;
use crate::run::Guests;
use crate::scenario::{Clock, HoldSpec, Scenario};
use crate::trouble::Trouble;
use rig_images::Progress;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  cargo rig replay runs/explore-plain/guests/7            a failure that `rig explore` kept
  cargo rig replay runs/explore-plain/guests/7 --times 20
  cargo rig replay 1234 --cpus 4                          the schedule of seed 1234
  cargo rig replay shrunk.toml                            a scenario with holds

Exit codes: 0 every repetition was judged and none failed, 1 some failed, 2 usage, 5 some were not judged or not run.";

#[derive(Debug, clap::Args)]
pub(super) struct ReplayArguments {
    /// A seed, the folder of a guest that `rig explore` kept, or a scenario file with holds
    what: String,
    /// The scenario, when WHAT is a seed
    scenario: Option<PathBuf>,
    /// How the seed becomes a schedule
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,
    /// Replay although what the run was made of has changed; its digest is not looked for then
    #[arg(long)]
    changed: bool,
    /// How often
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    times: u32,
    /// Folder of the evidence; must not exist or be empty [default: runs/replay-TIME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    target: MachineFlags,
}

pub(super) fn replay(arguments: &ReplayArguments) -> Result<u8, Trouble> {
    let progress = Progress::stderr();
    let seed: Option<u64> = arguments.what.parse().ok();
    let (given, mut recorded) = match seed {
        Some(_) => (super::run::scenario_of(arguments.scenario.as_deref())?, Schedule::default()),
        None => evidence::read(Path::new(&arguments.what))?,
    };
    let given = Scenario { holds: std::mem::take(&mut recorded.holds), ..given };
    let updates = given.updates;
    let (scenario, mut holds) = arguments.target.apply(given)?;
    let folder = fresh(arguments.out.as_deref(), "replay")?;
    let (cpus, clock) = (scenario.cpus, scenario.clock);
    let sessions = arguments.target.sessions(scenario, &folder.join("base"), &progress)?;
    if let Some(seed) = seed {
        holds = schedule(seed, arguments.strategy, &Space::of_update(cpus, sessions.ack_word()));
    }
    check_unchanged(&mut recorded, sessions.made_of(), arguments.changed)?;
    let updates = if seed.is_some() { 1 } else { updates };
    let lists: Vec<_> = recorded.before.iter().cloned().chain(repeat::by_update(&holds, updates)).collect();
    let show = |number, repetition: &Repetition| {
        if !arguments.json {
            output::text_line(&line(number, repetition));
        }
    };
    let all = repeat::many(&sessions, &lists, (&folder, arguments.times), show)?;
    Ok(print_results(arguments, &lists, &all, (&folder, clock, recorded.digest.as_deref())))
}

/// A digest repeats only where all is as it was.
fn check_unchanged(recorded: &mut Schedule, made_of: &Value, anyway: bool) -> Result<(), Trouble> {
    let differing = recorded.differing(made_of);
    if differing.is_empty() {
        return Ok(());
    }
    if anyway {
        recorded.digest = None;
        return Ok(());
    }
    let cause = format!("the run cannot be repeated bit for bit: not as it was: {}", differing.join(", "));
    Err(Trouble::usage(cause, "bring back what changed, or replay its schedule with --changed"))
}

fn line(number: u32, repetition: &Repetition) -> String {
    let Repetition { judgement, reason, verdict, digest, .. } = repetition;
    let what = match (judgement, verdict) {
        (RepetitionJudgement::NotJudged, _) => "not judged",
        (_, Some(verdict)) => verdict.verdict.name(),
        (_, None) => "",
    };
    let reason = reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let digest = digest.as_ref().map(|digest| format!(" (timeline {})", &digest[..16])).unwrap_or_default();
    format!("{number}: {what}{reason}{digest}")
}

fn print_results(
    arguments: &ReplayArguments,
    lists: &[Vec<HoldSpec>],
    all: &[Repetition],
    (folder, clock, recorded): (&Path, Clock, Option<&str>),
) -> u8 {
    let tally = Tally::of(all, arguments.times);
    let digests: BTreeSet<&str> = all.iter().filter_map(|r| r.digest.as_deref()).collect();
    let equal = all.iter().all(|r| r.digest.is_some()) && digests.len() == 1;
    let matches = recorded.map(|digest| equal && digests.contains(digest));
    let exit = tally.exit();
    if arguments.json {
        output::json(&serde_json::json!({
            "exit_code": exit as u8, "failed": tally.failed, "passed": tally.passed, "not_judged": tally.not_judged,
            "not_run": tally.not_run, "runs": all.len(), "holds": lists.last(), "updates_before": lists.len() - 1,
            "digests": digests, "digests_equal": equal, "digest_as_recorded": matches, "clock": clock,
            "repetitions": all, "folder": folder,
        }));
        return exit as u8;
    }
    output::text_line(&format!("{}; evidence: {}", tally.text(), folder.display()));
    output::text_line(match (clock, equal, matches) {
        (Clock::Parallel, ..) => "digests of timelines repeat only on a deterministic clock; this one is parallel",
        (_, false, _) => "the timelines differ, or the host ended one",
        (_, true, None) => "all timelines are equal; none was recorded to compare with",
        (_, true, Some(true)) => "all timelines are equal, and as recorded",
        (_, true, Some(false)) => "all timelines are equal, but not as recorded",
    });
    exit as u8
}

/// A folder that is new.
pub(super) fn fresh(out: Option<&Path>, word: &str) -> Result<PathBuf, Trouble> {
    let time = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string().replace(['-', ':', 'Z'], "");
    let path = out.map_or_else(|| Path::new("runs").join(format!("{word}-{time}")), Path::to_owned);
    std::fs::create_dir_all(&path).map_err(|e| Trouble::file("make", &path, &e))?;
    if std::fs::read_dir(&path).map_err(|e| Trouble::file("read", &path, &e))?.next().is_some() {
        let help = "name a folder that does not exist yet with --out, or remove this one";
        return Err(Trouble::usage(format!("the folder {} is not empty", path.display()), help));
    }
    path.canonicalize().map_err(|e| Trouble::file("use", &path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_judge::{Facts, Outcome, Verdict};

    #[test]
    fn each_repetition_says_what_it_came_to() {
        let verdict = Verdict::unjudged(Facts::default(), Outcome::Passed, "", None);
        let passed = Repetition {
            judgement: RepetitionJudgement::Passed,
            reason: None,
            verdict: Some(verdict),
            digest: None,
            interrupted: false,
        };
        assert_eq!(line(1, &passed), "1: passed");
        let repeated = Repetition { digest: Some("0123456789abcdef01".into()), ..passed };
        assert_eq!(line(2, &repeated), "2: passed (timeline 0123456789abcdef)");
        let trouble = Repetition::from(Trouble::environment("no memory", "buy some"));
        assert_eq!(line(3, &trouble), "3: not judged: no memory");
    }
}
