//! `rig explore` and `rig soak`

use super::output;
use super::target::Target;
use crate::explore::explorer::{self, End, Request};
use crate::explore::results::{FORM, Header, Results};
use crate::explore::schedule::{self, Strategy};
use crate::explore::shard::{Shard, parse_seeds};
use crate::explore::summary::Summary;
use crate::explore::view::View;
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
Exit codes: 0 no schedule failed, 1 some did, 2 usage, 5 the rig or this machine failed.";

pub(super) const SOAK_EXAMPLES: &str = "\
Examples:
  cargo rig soak --for 8h                                 new schedules all night
  cargo rig soak --for 8h --first 1000000 --workers 4     from this seed on, four machines at once";

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
    target: Target,
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
    let shard = shard(how)?;
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
        scenario,
    };
    let mut results = Results::open(&folder.join("results.jsonl"), &header)?;
    let before = results.done.len();
    let bounded = (seeds.end != u64::MAX).then(|| seeds.clone().filter(|seed| shard.has(*seed)).count() as u64);
    let view = View::new(before, bounded);
    let workers =
        how.workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, |n| n.get().div_ceil(2)));
    let request = Request {
        seeds,
        shard,
        strategy: how.strategy,
        workers: workers.max(1),
        time,
        stop_on_first,
        folder: folder.clone(),
    };
    let end = explorer::explore(&request, &sessions, cpus, &mut results, &view)?;
    let per_second = view.per_second(results.done.len());
    view.end();
    tell(how, &results, &end, (per_second, sessions.orders(), before), &folder)
}

fn tell(
    how: &How,
    results: &Results,
    end: &End,
    (per_second, orders, before): (f64, usize, usize),
    folder: &Path,
) -> Result<u8, Trouble> {
    let summary = Summary::of(&results.done);
    let exit = if summary.rate.failures > 0 {
        Exit::Failed
    } else if matches!(end, End::Rig(_) | End::Load(_) | End::Interrupted) || summary.rate.runs == 0 {
        Exit::Environment
    } else {
        Exit::Passed
    };
    if how.json {
        let failed: Vec<_> = results.done.iter().filter(|r| r.has_failed()).collect();
        output::json(&serde_json::json!({
            "exit_code": exit as u8, "end": format!("{end:?}"), "summary": summary, "failed": failed,
            "schedules_per_s": per_second, "orders_of_accesses": orders, "before": before,
            "strategy": how.strategy, "results": folder.join("results.jsonl"),
        }));
    } else {
        output::text_line(&summary.text());
        output::text_line(&format!("{per_second:.1} schedules per second, {orders} orders of accesses seen"));
        for failed in results.done.iter().filter(|r| r.has_failed()).take(10) {
            let run = failed.run.as_ref().map(|run| folder.join(run).display().to_string()).unwrap_or_default();
            output::text_line(&format!("seed {}: {} -> {run}", failed.seed, failed.reason.as_deref().unwrap_or("")));
        }
        output::text_line(&format!("results: {}", folder.join("results.jsonl").display()));
    }
    match end {
        End::Rig(cause) => Err(Trouble::environment(
            format!("the rig failed again and again: {cause}"),
            "look at the folders in guests/; what has a result is kept, so the same command goes on",
        )),
        End::Load(cause) => Err(Trouble::environment(
            format!("every update of a guest passed, but without what was to disturb it: {cause}"),
            "mend the load; what was explored with it says nothing",
        )),
        _ => Ok(exit as u8),
    }
}

fn shard(how: &How) -> Result<Shard, Trouble> {
    if let Some(shard) = how.shard {
        return Ok(shard);
    }
    let shard = Shard::from_environment(|name| std::env::var(name).ok());
    let help = "set the variables as the help shows, or name the part with --shard";
    Ok(shard.map_err(|cause| Trouble::usage(cause, help))?.unwrap_or(Shard::WHOLE))
}

/// The same command uses the same folder, so that it goes on.
fn folder(how: &How, name: &str, word: &str, shard: Shard) -> Result<PathBuf, Trouble> {
    let part = if shard == Shard::WHOLE { String::new() } else { format!("-{}of{}", shard.index, shard.count) };
    let path = how.out.clone().unwrap_or_else(|| Path::new("runs").join(format!("{word}-{name}{part}")));
    std::fs::create_dir_all(&path).map_err(|e| Trouble::file("make", &path, &e))?;
    path.canonicalize().map_err(|e| Trouble::file("use", &path, &e))
}
