//! `rig replay` and `rig shrink`

use super::output;
use super::target::Target;
use crate::explore::evidence::{self, Schedule};
use crate::explore::repeat::{self, Repeater, Repetition};
use crate::explore::schedule::{Space, Strategy, schedule};
use crate::scenario::{Clock, HoldSpec, Scenario};
use crate::trouble::{Exit, Trouble};
use rig_images::Progress;
use serde_json::Value;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

pub(super) const REPLAY_EXAMPLES: &str = "\
Examples:
  cargo rig replay runs/explore-plain/guests/7            a failure that `rig explore` kept
  cargo rig replay runs/explore-plain/guests/7 --times 20
  cargo rig replay 1234 --cpus 4                          the schedule of seed 1234
  cargo rig replay shrunk.toml                            a scenario with holds";

pub(super) const SHRINK_EXAMPLES: &str = "\
Examples:
  cargo rig shrink runs/explore-plain/guests/7            fewest holds and CPUs that still fail
  cargo rig shrink runs/explore-plain/guests/7 --repeat 10 --out small.toml";

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
    target: Target,
}

#[derive(Debug, clap::Args)]
pub(super) struct ShrinkArguments {
    /// The folder of a guest that `rig explore` kept, or a scenario file with holds
    run: PathBuf,
    /// Repetitions of each candidate; one counts as failing when it fails at least as often as the original
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
    /// The scenario file to write [default: shrunk.toml in the run's folder]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    target: Target,
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
    let mut all: Vec<Repetition> = Vec::new();
    for number in 1..=arguments.times {
        let repetition = repeat::once(&sessions, &lists, &folder.join(number.to_string()))?;
        if !arguments.json {
            output::text_line(&line(number, &repetition));
        }
        all.push(repetition);
    }
    Ok(told(arguments, &lists, &all, (&folder, clock, recorded.digest.as_deref())))
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
    let Repetition { verdict, digest } = repetition;
    let digest = digest.as_ref().map_or("none", |d| &d[..16]);
    let reason = verdict.reason.as_deref().unwrap_or("");
    format!("{number}: {} {reason} (timeline {digest})", verdict.verdict.name())
}

fn told(
    arguments: &ReplayArguments,
    lists: &[Vec<HoldSpec>],
    all: &[Repetition],
    (folder, clock, recorded): (&Path, Clock, Option<&str>),
) -> u8 {
    let failed = all.iter().filter(|r| r.has_failed()).count();
    let digests: BTreeSet<&str> = all.iter().filter_map(|r| r.digest.as_deref()).collect();
    let equal = all.iter().all(|r| r.digest.is_some()) && digests.len() == 1;
    let matches = recorded.map(|digest| equal && digests.contains(digest));
    let exit = if failed > 0 { Exit::Failed } else { Exit::Passed };
    if arguments.json {
        output::json(&serde_json::json!({
            "exit_code": exit as u8, "failed": failed, "runs": all.len(), "holds": lists.last(), "updates_before": lists.len() - 1,
            "digests": digests, "digests_equal": equal, "digest_as_recorded": matches, "clock": clock,
            "repetitions": all, "folder": folder,
        }));
        return exit as u8;
    }
    output::text_line(&format!("{failed} of {} failed; evidence: {}", all.len(), folder.display()));
    output::text_line(match (clock, equal, matches) {
        (Clock::Parallel, ..) => "digests of timelines repeat only on a deterministic clock; this one is parallel",
        (_, false, _) => "the timelines differ, or the host ended one",
        (_, true, None) => "all timelines are equal; none was recorded to compare with",
        (_, true, Some(true)) => "all timelines are equal, and as recorded",
        (_, true, Some(false)) => "all timelines are equal, but not as recorded",
    });
    exit as u8
}

pub(super) fn shrink(arguments: &ShrinkArguments) -> Result<u8, Trouble> {
    let progress = Progress::stderr();
    let (given, recorded) = evidence::read(&arguments.run)?;
    let updates = given.updates;
    let (scenario, mut holds) = arguments.target.apply(Scenario { holds: recorded.holds, ..given })?;
    let folder = fresh(None, "shrink")?;
    let before = (scenario.cpus, holds.len());
    let sessions = arguments.target.sessions(scenario.clone(), &folder.join("base"), &progress)?;
    let times = if sessions.repeats() { 1 } else { arguments.repeat };
    let mut repeater = Repeater { sessions: &sessions, updates, folder: folder.join("tries"), times, made: 0 };
    let mut enough = repeater.failures(&holds, times)?;
    if enough == 0 && !recorded.before.is_empty() {
        // It needs what the updates before it left behind; then their holds count, too.
        let lists: Vec<_> = recorded.before.iter().cloned().chain([holds]).collect();
        repeater.updates = u32::try_from(lists.len()).expect("a guest makes few updates");
        holds = repeat::numbered(&lists);
        enough = repeater.failures(&holds, times)?;
    }
    if enough == 0 {
        let cause = format!("the schedule failed in none of {times} repetitions");
        return Err(Trouble::usage(cause, "raise --repeat; the failure may not depend on the holds"));
    }
    while repeater.updates > 1 {
        progress.say(&format!("trying {} updates", repeater.updates - 1));
        let later = repeat::without_first(&holds);
        repeater.updates -= 1;
        if repeater.failures(&later, enough)? < enough {
            repeater.updates += 1;
            break;
        }
        holds = later;
    }
    let holds = repeat::fewest(holds, |candidate| {
        progress.say(&format!("trying {} holds", candidate.len()));
        Ok(repeater.failures(candidate, enough)? >= enough)
    })?;
    let (made, updates) = (repeater.made, repeater.updates);
    let scenario = Scenario { updates, ..scenario };
    let (scenario, holds, more) = fewer_cpus(arguments, scenario, holds, (enough, times, &folder), &progress)?;
    let tally = Tally { before, after: (scenario.cpus, holds.len()), enough, times, repetitions: made + more };
    finish(arguments, &Scenario { holds, ..scenario }, &tally, &folder)
}

/// The schedule on the CPUs that it names, if it still fails there.
fn fewer_cpus(
    arguments: &ShrinkArguments,
    scenario: Scenario,
    holds: Vec<HoldSpec>,
    (enough, times, folder): (u32, u32, &Path),
    progress: &Progress,
) -> Result<(Scenario, Vec<HoldSpec>, u32), Trouble> {
    let (cpus, compact) = repeat::compact(&holds);
    let mut made = 0;
    for cpus in cpus.max(2)..scenario.cpus {
        progress.say(&format!("trying {cpus} CPUs"));
        let smaller = Scenario { cpus, ..scenario.clone() };
        let updates = scenario.updates;
        let base = folder.join(format!("base-{cpus}"));
        let sessions = arguments.target.sessions(Scenario { updates: 1, ..smaller.clone() }, &base, progress)?;
        let tries = folder.join(format!("tries-{cpus}"));
        let mut repeater = Repeater { sessions: &sessions, updates, folder: tries, times, made: 0 };
        let fails = repeater.failures(&compact, enough)? >= enough;
        made += repeater.made;
        if fails {
            return Ok((smaller, compact, made));
        }
    }
    Ok((scenario, holds, made))
}

struct Tally {
    before: (u32, usize),
    after: (u32, usize),
    enough: u32,
    times: u32,
    repetitions: u32,
}

fn finish(arguments: &ShrinkArguments, scenario: &Scenario, tally: &Tally, folder: &Path) -> Result<u8, Trouble> {
    let beside = if arguments.run.is_dir() { arguments.run.clone() } else { folder.to_owned() };
    let out = arguments.out.clone().unwrap_or_else(|| beside.join("shrunk.toml"));
    evidence::write_scenario(&out, scenario)?;
    let Tally { before, after, enough, times, repetitions } = tally;
    if arguments.json {
        output::json(&serde_json::json!({
            "exit_code": 1, "holds_before": before.1, "holds": after.1, "cpus_before": before.0, "cpus": after.0,
            "failed": enough, "of": times, "updates": scenario.updates, "repetitions": repetitions, "scenario": out,
        }));
    } else {
        output::text_line(&format!(
            "{} holds on {} CPUs, from {} on {}, in {} updates; fails {enough} times in {times} ({repetitions} repetitions in all)",
            after.1, after.0, before.1, before.0, scenario.updates
        ));
        for hold in &scenario.holds {
            output::text_line(&format!(
                "  CPU {} waits at {} (pass {}) until {}",
                hold.cpu, hold.at, hold.nth, hold.until
            ));
        }
        output::text_line(&format!("run it: cargo rig run {}", out.display()));
    }
    Ok(Exit::Failed as u8)
}

/// A folder that is new.
fn fresh(out: Option<&Path>, word: &str) -> Result<PathBuf, Trouble> {
    let time = humantime::format_rfc3339_millis(std::time::SystemTime::now()).to_string().replace(['-', ':', 'Z'], "");
    let path = out.map_or_else(|| Path::new("runs").join(format!("{word}-{time}")), Path::to_owned);
    std::fs::create_dir_all(&path).map_err(|e| Trouble::file("make", &path, &e))?;
    if std::fs::read_dir(&path).map_err(|e| Trouble::file("read", &path, &e))?.next().is_some() {
        let help = "name a folder that does not exist yet with --out, or remove this one";
        return Err(Trouble::usage(format!("the folder {} is not empty", path.display()), help));
    }
    path.canonicalize().map_err(|e| Trouble::file("use", &path, &e))
}
