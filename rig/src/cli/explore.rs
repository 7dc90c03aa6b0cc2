//! `rig explore` and `rig soak`

use super::output;
use super::shard::shard;
use super::target::MachineFlags;
use crate::explore::evidence::RESULTS;
use crate::explore::explorer::{self, End, ExploreRequest};
use crate::explore::groups::groups;
use crate::explore::results::{FORM, Found, GuestResult, Header, Results, SeedResult};
use crate::explore::schedule::{self, Strategy};
use crate::explore::shard::{Shard, parse_seeds};
use crate::explore::summary::Summary;
use crate::explore::view::View;
use crate::run::Guests;
use crate::trouble::{Exit, Trouble};
use rig_images::Progress;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(super) const EXPLORE_EXAMPLES: &str = "\
Examples:
  cargo rig explore --seeds 0..1000                       a thousand schedules of the plain update on 4 CPUs
  cargo rig explore --seeds 0..1000 --stop-on-first --kernel ~/linux
  cargo rig explore --seeds 0..200 --strategy delays --time 10m --json
  cargo rig explore --seeds 0..200 --subject kmod --twin lost-ack
  cargo rig explore --seeds 0..100000 --shard 2/8         the third of eight machines

The same command again goes on where it was. In a Kubernetes indexed Job (with RIG_SHARD_COUNT set) and in a Slurm array
the shard is taken from the environment. Results are in results.jsonl; `cargo rig merge` joins those of several machines.
Exit codes: 0 all schedules were judged and none failed, 1 some failed, 2 usage, 5 some were not judged: the rig or this
machine failed, or a person ended it.";

pub(super) const SOAK_EXAMPLES: &str = "\
Examples:
  cargo rig soak --for 8h                                 new schedules all night
  cargo rig soak --for 8h --first 1000000 --workers 4     from this seed on, four machines at once";

/// Failures that are shown; the results have all.
const SHOWN: usize = 10;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Scenario file (TOML), or the name of one that comes with the rig; without one, the plain update
    scenario: Option<PathBuf>,
    /// Seeds A to B, B not included
    #[arg(long, value_name = "A..B", value_parser = parse_seeds)]
    seeds: Range<u64>,
    /// Begin no schedule after this time, such as 10m
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Option<Duration>,
    /// End with the first failure
    #[arg(long)]
    stop_on_first: bool,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
pub(super) struct SoakArguments {
    /// Scenario file (TOML), or the name of one that comes with the rig; without one, the plain update
    scenario: Option<PathBuf>,
    /// For how long, such as 8h
    #[arg(long = "for", value_name = "TIME", value_parser = humantime::parse_duration)]
    time: Duration,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    first: u64,
    #[command(flatten)]
    how: How,
}

#[derive(Debug, clap::Args)]
struct How {
    /// How seeds become schedules
    #[arg(long, value_enum, default_value_t)]
    strategy: Strategy,
    /// Machines at once [default: half the cores]
    #[arg(long, value_name = "N")]
    workers: Option<usize>,
    /// This machine's part, such as 0/4 [default: from the cluster's variables, else all]
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Folder of results and evidence [default: runs/explore-NAME]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    target: MachineFlags,
}

impl Arguments {
    pub(super) const fn json(&self) -> bool {
        self.how.json
    }
}

impl SoakArguments {
    pub(super) const fn json(&self) -> bool {
        self.how.json
    }
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let limits = (arguments.seeds.clone(), arguments.time, arguments.stop_on_first);
    go(arguments.scenario.as_deref(), limits, &arguments.how, "explore")
}

pub(super) fn soak(arguments: &SoakArguments) -> Result<u8, Trouble> {
    let limits = (arguments.first..u64::MAX, Some(arguments.time), false);
    go(arguments.scenario.as_deref(), limits, &arguments.how, "soak")
}

fn go(
    scenario: Option<&Path>,
    (seeds, time, stop_on_first): (Range<u64>, Option<Duration>, bool),
    how: &How,
    word: &str,
) -> Result<u8, Trouble> {
    let progress = Progress::stderr();
    let shard = shard(how.shard)?;
    let (scenario, holds) = how.target.apply(super::run::scenario_of(scenario)?)?;
    if !holds.is_empty() {
        let help = "leave the holds out, or run the scenario as it is with `rig run`";
        return Err(Trouble::usage("the scenario has holds of its own; an exploration draws them", help));
    }
    let folder = folder(how, &scenario.name, word, shard)?;
    let cpus = scenario.cpus;
    let sessions = how.target.sessions(scenario.clone(), &folder.join("base"), &progress)?;
    let header = Header {
        form: FORM,
        schedules: schedule::FORM,
        strategy: how.strategy,
        kernel: sessions.kernel().to_owned(),
        made_of: sessions.explored()?,
        scenario,
    };
    let mut results = Results::open(&folder.join(RESULTS), &header)?;
    let before = results.found.latest().count();
    let bounded = (seeds.end != u64::MAX).then(|| seeds.clone().filter(|seed| shard.has(*seed)).count() as u64);
    let view = View::new(before, bounded);
    let workers =
        how.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2)));
    let request = ExploreRequest {
        seeds,
        shard,
        strategy: how.strategy,
        workers: workers.max(1),
        time,
        stop_on_first,
        folder: folder.clone(),
    };
    let end = explorer::explore(&request, &sessions, cpus, &mut results, &view)?;
    let per_second = view.per_second(results.found.latest().count());
    view.end();
    Ok(print_results(how, &results.found, &end, (per_second, sessions.orders(), before), &folder) as u8)
}

fn print_results(
    how: &How,
    found: &Found,
    end: &End,
    (per_second, orders, before): (f64, usize, usize),
    folder: &Path,
) -> Exit {
    let summary = Summary::of(found);
    let exit = exit_of(&summary, end);
    let failed: Vec<_> = found.latest().filter(|r| r.has_failed()).collect();
    if how.json {
        output::json(&serde_json::json!({
            "exit_code": exit as u8, "end": format!("{end:?}"), "summary": summary, "failed": failed,
            "unassigned": found.guests, "schedules_per_s": per_second, "orders_of_accesses": orders, "before": before,
            "strategy": how.strategy, "results": folder.join(RESULTS),
        }));
    } else {
        output::text_line(&summary.text());
        output::text_line(&format!("{per_second:.1} schedules per second, {orders} orders of accesses seen"));
        for line in failures(&failed, &found.guests, folder) {
            output::text_line(&line);
        }
        output::text_line(&format!("results: {}", folder.join(RESULTS).display()));
    }
    if let Some((cause, help)) = cut_short(end) {
        eprintln!("error: {cause}\nhelp: {help}");
    }
    exit
}

/// A failure outranks an early end, and nothing passes that was ended by the rig or by a person.
fn exit_of(summary: &Summary, end: &End) -> Exit {
    match (summary.exit(), end) {
        (Exit::Passed, End::Rig(_) | End::Load(_) | End::Interrupted | End::BeforeUpdates(_)) => Exit::Environment,
        (exit, _) => exit,
    }
}

/// What failed, equal failures together, and what to do next.
fn failures(failed: &[&SeedResult], guests: &[GuestResult], folder: &Path) -> Vec<String> {
    let groups = groups(failed);
    let mut lines: Vec<String> = groups.iter().take(SHOWN).map(|group| group.text(folder)).collect();
    if let Some(more) = groups.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("and {more} more ways to fail, which stand in the results"));
    }
    for guest in guests.iter().take(SHOWN) {
        let seeds = match (guest.seeds.first(), guest.seeds.last()) {
            (Some(first), Some(last)) => format!("after updates of seeds {first} to {last}"),
            _ => "before its first update".to_owned(),
        };
        let (reason, run) = (&guest.reason, folder.join(&guest.run).display().to_string());
        lines.push(format!("no one seed, in a guest {seeds}: {reason}\n  evidence: {run}"));
    }
    if let Some(more) = guests.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        lines.push(format!("and {more} more guests, which stand in the results"));
    }
    lines
}

/// Why an exploration ended before its seeds did, and what to do about it.
fn cut_short(end: &End) -> Option<(String, &'static str)> {
    match end {
        End::Done | End::Time | End::Failure => None,
        End::Interrupted => Some(("interrupted".into(), "the same command goes on")),
        End::Rig(cause) => Some((
            format!("the rig failed again and again: {cause}"),
            "look at the folders in guests/; what has a result is kept, so the same command goes on",
        )),
        End::Load(cause) => Some((
            format!("every update of a guest passed, but without what was to disturb it: {cause}"),
            "mend the load; what was explored with it says nothing",
        )),
        End::BeforeUpdates(cause) => Some((
            format!("a guest failed before its first update: {cause}"),
            "no schedule is to blame; look at its folder in guests/, or run the scenario with `cargo rig run`",
        )),
    }
}

/// The same command uses the same folder, so that it goes on.
fn folder(how: &How, name: &str, word: &str, shard: Shard) -> Result<PathBuf, Trouble> {
    let part = if shard == Shard::WHOLE { String::new() } else { format!("-{}of{}", shard.index, shard.count) };
    let path = how.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{word}-{name}{part}")));
    std::fs::create_dir_all(&path).map_err(|e| Trouble::file("make", &path, &e))?;
    path.canonicalize().map_err(|e| Trouble::file("use", &path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_judge::Outcome;

    fn result(seed: u64, verdict: Outcome) -> SeedResult {
        let (broken, reason, run) = (Vec::new(), Some("lost".into()), Some("guests/3".into()));
        SeedResult { seed, verdict, broken, reason, holds: 0, begun: 0, satisfied: 0, update_ms: 0, run }
    }

    #[test]
    fn an_exploration_that_was_cut_short_never_passes() {
        let passed = Found { seeds: vec![result(0, Outcome::Passed)], guests: Vec::new() };
        let passed = Summary::of(&passed);
        for end in [End::Done, End::Time, End::Failure] {
            assert_eq!(exit_of(&passed, &end), Exit::Passed, "{end:?}");
            assert_eq!(cut_short(&end), None);
        }
        for end in [End::Interrupted, End::Rig("x".into()), End::Load("x".into()), End::BeforeUpdates("x".into())] {
            assert_eq!(exit_of(&passed, &end), Exit::Environment, "{end:?}");
            assert!(cut_short(&end).is_some());
        }
        let failed = Summary::of(&Found { seeds: vec![result(0, Outcome::Failed)], guests: Vec::new() });
        assert_eq!(exit_of(&failed, &End::Rig("x".into())), Exit::Failed);
    }

    #[test]
    fn what_is_not_shown_is_counted_and_the_next_command_is_told() {
        let all: Vec<SeedResult> = (0..38).map(|seed| result(seed, Outcome::Failed)).collect();
        let lines = failures(&all.iter().collect::<Vec<_>>(), &[], Path::new("runs/x")).join("\n");
        assert!(lines.starts_with("38 seeds: lost\n  seeds 0, 1, 2 and 35 more"), "{lines}");
        assert!(lines.ends_with("shrink: cargo rig shrink runs/x/guests/3"), "{lines}");
        let lost =
            |seed: u64| SeedResult { reason: Some("!".repeat(1 + seed as usize)), ..result(seed, Outcome::Failed) };
        let all: Vec<SeedResult> = (0..12).map(lost).collect();
        let lines = failures(&all.iter().collect::<Vec<_>>(), &[], Path::new("")).join("\n");
        assert!(lines.ends_with("and 2 more ways to fail, which stand in the results"), "{lines}");
        assert_eq!(failures(&[], &[], Path::new("")), [""; 0]);
    }

    #[test]
    fn what_belongs_to_no_seed_is_told_as_that() {
        let guest = |seeds| GuestResult {
            seeds,
            verdict: Outcome::Failed,
            broken: Vec::new(),
            reason: "a late warning".into(),
            run: "guests/7".into(),
        };
        let lines = failures(&[], &[guest(vec![4, 5, 6]), guest(Vec::new())], Path::new("x"));
        assert_eq!(
            lines,
            [
                "no one seed, in a guest after updates of seeds 4 to 6: a late warning\n  evidence: x/guests/7",
                "no one seed, in a guest before its first update: a late warning\n  evidence: x/guests/7",
            ]
        );
    }
}
