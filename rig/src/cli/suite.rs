//! `rig suite`

use super::output;
use super::shard::shard;
use crate::explore::shard::Shard;
use crate::run::Interrupts;
use crate::scenario::{Scenario, Shape, Subject, Tag, catalogue};
use crate::suite::{self, Ran, Room, SUITE, SuiteRecord};
use crate::trouble::{Exit, Trouble};
use rig_images::Progress;
use rig_interleave::Request;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// The page of all runs.
const INDEX: &str = "index.html";

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig suite                              all scenarios that take seconds
  cargo rig suite 'td-kvm*' cpu-offline        those of these names, whatever their tags
  cargo rig suite --tag full --out suite       index.html in it has all runs
  cargo rig suite --failed suite               what failed in that one, was not judged, or not run, again
  cargo rig suite --tag full --shard 2/8       the third of eight machines
  cargo rig suite --kernel ~/build             your own kernel's build tree

In a Kubernetes indexed Job (with RIG_SHARD_COUNT set) and in a Slurm array the shard is taken from the environment.
Exit codes: 0 every scenario passed, has its known defect or was skipped, 1 one failed, 2 usage, 5 the rig or this machine
failed in one.";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only scenarios of these names; `*` stands for anything
    names: Vec<String>,
    /// Which scenarios; `full` has all of `quick`, and `night` has all [default: quick, and night where names are given]
    #[arg(long, value_enum)]
    tag: Option<Tag>,
    /// Only what failed, was not judged or was not run in the suite of this folder, with its kernel and clients
    #[arg(long, value_name = "DIR", conflicts_with = "tag")]
    failed: Option<PathBuf>,
    /// The kernel of all scenarios that name none: a path as for `rig run`, or `profile:debug`, `profile:kcsan`, `profile:rt`
    #[arg(long, value_name = "PATH")]
    kernel: Option<PathBuf>,
    /// What that kernel calls the parts of its update, as for `rig run`
    #[arg(long, value_name = "FILE")]
    shape: Option<PathBuf>,
    /// What some of its scenarios need and the rig has not, as for `rig run`; they are skipped without it
    #[arg(long = "client", value_name = "PATH")]
    clients: Vec<PathBuf>,
    /// This machine's part, such as 0/4 [default: from the cluster's variables, else all]
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    /// Machines at once [default: one for each four cores of the host, within half of its available memory]
    #[arg(long, value_name = "N")]
    jobs: Option<std::num::NonZeroUsize>,
    /// Folder of the suite; must not exist or be empty [default: runs/TIME-suite]
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let (scenarios, mut record) = chosen(arguments)?;
    let shard = shard(arguments.shard)?;
    let scenarios = part(scenarios, shard)?;
    let proofs = if shard.index == 0 { proofs(arguments, record.kernel.is_some())? } else { Vec::new() };
    if scenarios.is_empty() && proofs.is_empty() {
        output::text_line("nothing is left to run: all scenarios of that suite ended as they should");
        return Ok(Exit::Passed as u8);
    }
    let folder = folder(arguments.out.as_deref())?;
    let width = scenarios.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let mut names: Vec<String> = scenarios.iter().map(|scenario| scenario.name.clone()).collect();
    names.extend(proofs.iter().map(|(name, _)| (*name).to_owned()));
    let progress = Progress::stderr();
    let interrupts = Interrupts::listen().map_err(|e| {
        Trouble::environment(format!("cannot listen to signals: {e}"), "report this with the message above")
    })?;
    let run = |scenario| suite::run_one(scenario, &folder, &progress);
    let print_line = |ran: &Ran| {
        if !arguments.json {
            output::text_line(&suite::line(ran, width));
        }
    };
    record.scenarios = suite::run_all(scenarios, room(arguments.jobs), || !interrupts.happened(), run, print_line);
    for (name, request) in proofs {
        if interrupts.happened() {
            break;
        }
        let ran = suite::run_proof(name, request, &progress);
        print_line(&ran);
        record.scenarios.push(ran);
    }
    let was_run = |name: &String| record.scenarios.iter().any(|ran| ran.scenario == *name);
    record.not_run = names.into_iter().filter(|name| !was_run(name)).collect();
    let exit = if record.not_run.is_empty() { suite::exit(&record.scenarios) } else { cut_short(&record) };
    write_reports(&folder, arguments, &record, exit)?;
    if arguments.json {
        let results = &record.scenarios;
        output::json(&serde_json::json!({ "exit_code": exit as u8, "scenarios": results, "suite_dir": folder }));
    } else {
        output::text_line(&format!(
            "\n{}\nall runs: {}",
            suite::summary(&record.scenarios),
            folder.join(INDEX).display()
        ));
        if !record.unfinished().is_empty() {
            output::text_line(&format!("what failed, again: cargo rig suite --failed {}", folder.display()));
        }
    }
    Ok(exit as u8)
}

/// The proofs, which are about the rig's own kernel: one about another kernel may end without a verdict. Patterns of names
/// choose scenarios only. Of several machines the first one makes them.
fn proofs(arguments: &Arguments, has_own_kernel: bool) -> Result<Vec<(&'static str, Request)>, Trouble> {
    if has_own_kernel || !arguments.names.is_empty() {
        return Ok(Vec::new());
    }
    let Some(folder) = &arguments.failed else { return Ok(suite::proofs(arguments.tag.unwrap_or(Tag::Quick))) };
    let before = SuiteRecord::read(folder)?;
    let unfinished = before.unfinished();
    Ok(suite::proofs(Tag::Night).into_iter().filter(|(name, _)| unfinished.contains(name)).collect())
}

/// The scenarios, each with the suite's kernel and clients, and the record of a suite in which nothing was run yet.
fn chosen(arguments: &Arguments) -> Result<(Vec<Scenario>, SuiteRecord), Trouble> {
    let named = if arguments.names.is_empty() { Tag::Quick } else { Tag::Night };
    let (mut scenarios, before) = match &arguments.failed {
        None => (catalogue::suite(arguments.tag.unwrap_or(named)), SuiteRecord::default()),
        Some(folder) => {
            let before = SuiteRecord::read(folder)?;
            let all = catalogue::suite(Tag::Night).into_iter();
            (all.filter(|scenario| before.unfinished().contains(&scenario.name.as_str())).collect(), before)
        }
    };
    // Another suite may be started from another folder.
    let absolute = |path: &PathBuf| path.canonicalize().unwrap_or_else(|_| path.clone());
    let kernel = arguments.kernel.as_ref().map(absolute).or(before.kernel);
    let clients: Vec<PathBuf> = arguments.clients.iter().map(absolute).collect();
    let clients = if clients.is_empty() { before.clients } else { clients };
    let shape = arguments.shape.as_deref().map(Shape::of).transpose()?.or(before.shape);
    scenarios = suite::named_so(scenarios, &arguments.names)?;
    for scenario in &mut scenarios {
        scenario.kernel = scenario.kernel.take().or(kernel.clone());
        if scenario.subject == Subject::InTree {
            scenario.shape = scenario.shape.take().or(shape.clone());
        }
        if let Some(userspace) = scenario.userspace.as_mut().filter(|userspace| !userspace.brings.is_empty()) {
            userspace.given.clone_from(&clients);
        }
    }
    Ok((scenarios, SuiteRecord { kernel, shape, clients, ..SuiteRecord::default() }))
}

fn write_reports(folder: &Path, arguments: &Arguments, record: &SuiteRecord, exit: Exit) -> Result<(), Trouble> {
    let name = match arguments.tag {
        None if arguments.names.is_empty() && arguments.failed.is_none() => "quick".to_owned(),
        None => "chosen".to_owned(),
        Some(tag) => format!("{tag:?}").to_lowercase(),
    };
    write(folder, "junit.xml", &suite::junit(&name, &record.scenarios))?;
    write(folder, "ktap.txt", &suite::ktap(&record.scenarios))?;
    write(folder, INDEX, &suite::index(record, exit, folder))?;
    let text = serde_json::to_string_pretty(record).expect("a record is plain data");
    write(folder, SUITE, &(text + "\n"))
}

/// The scenarios that belong to this machine, dealt out one by one, so that the parts cost about the same.
fn part(scenarios: Vec<Scenario>, shard: Shard) -> Result<Vec<Scenario>, Trouble> {
    let number = scenarios.len() as u64;
    if shard.count > number.max(1) {
        let cause = format!("there are {} shards for {number} scenarios, so that some would have none", shard.count);
        return Err(Trouble::usage(cause, format!("take {number} shards or fewer")));
    }
    Ok((0..).zip(scenarios).filter(|(at, _)| shard.has(*at)).map(|(_, scenario)| scenario).collect())
}

/// What the host has room for, with as many machines as asked for.
pub(super) fn room(jobs: Option<std::num::NonZeroUsize>) -> Room {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let host = Room::of_host(cores, crate::doctor::available_memory_mib().unwrap_or(0));
    Room { machines: jobs.map_or(host.machines, usize::from), ..host }
}

/// A suite that did not get to all of its scenarios says so, and never passes.
fn cut_short(record: &SuiteRecord) -> Exit {
    let left = record.not_run.len();
    eprintln!("error: interrupted: {left} of {} scenarios were not run", left + record.scenarios.len());
    eprintln!("help: `rig suite --failed` with the suite's folder runs them");
    if record.scenarios.iter().any(Ran::has_failed) { Exit::Failed } else { Exit::Environment }
}

fn folder(out: Option<&Path>) -> Result<PathBuf, Trouble> {
    let time = humantime::format_rfc3339_seconds(SystemTime::now()).to_string().replace(['-', ':', 'Z'], "");
    let path = out.map_or_else(|| Path::new("runs").join(format!("{time}-suite")), Path::to_owned);
    std::fs::create_dir_all(&path).map_err(|e| Trouble::file("make the suite's folder", &path, &e))?;
    if std::fs::read_dir(&path).map_err(|e| Trouble::file("read", &path, &e))?.next().is_some() {
        let help = "name a folder that does not exist yet with --out, or remove this one";
        return Err(Trouble::usage(format!("the suite's folder {} is not empty", path.display()), help));
    }
    path.canonicalize().map_err(|e| Trouble::file("use the suite's folder", &path, &e))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Trouble> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|e| Trouble::file("write", &path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        suite: Arguments,
    }

    fn names(words: &[&str]) -> Vec<String> {
        let (scenarios, _) = chosen(&Line::parse_from(["suite"].iter().chain(words)).suite).unwrap();
        scenarios.into_iter().map(|scenario| scenario.name).collect()
    }

    #[test]
    fn names_are_sought_everywhere_and_otherwise_the_quick_ones_are_meant() {
        assert_eq!(names(&[]).len(), catalogue::suite(Tag::Quick).len());
        assert_eq!(names(&["many-512"]), ["many-512"]);
        let refused = chosen(&Line::parse_from(["suite", "many-512", "--tag", "quick"]).suite).unwrap_err();
        assert!(refused.cause.contains("many-512"), "{refused}");
    }

    #[test]
    fn what_failed_is_run_again_on_the_same_kernel() {
        let folder = tempfile::tempdir().unwrap();
        let kernel = Some(PathBuf::from("profile:debug"));
        let record = SuiteRecord { kernel, not_run: vec!["plain".into(), "repeat".into()], ..SuiteRecord::default() };
        std::fs::write(folder.path().join(SUITE), serde_json::to_string(&record).unwrap()).unwrap();
        let line = ["suite", "--failed", folder.path().to_str().unwrap()];
        let (scenarios, again) = chosen(&Line::parse_from(line).suite).unwrap();
        assert_eq!(scenarios.len(), 2);
        assert!(scenarios.iter().all(|scenario| scenario.kernel == record.kernel), "{scenarios:?}");
        assert_eq!((again.kernel, again.scenarios.len()), (record.kernel, 0));
        assert!(Line::try_parse_from(line.iter().copied().chain(["--tag", "full"])).is_err());
    }

    #[test]
    fn each_scenario_belongs_to_one_shard_and_none_is_left_without() {
        let whole = catalogue::suite(Tag::Quick);
        let of = |index, count| part(whole.clone(), Shard { index, count });
        let mut dealt: Vec<Scenario> = (0..5).flat_map(|index| of(index, 5).unwrap()).collect();
        dealt.sort_by_key(|scenario| whole.iter().position(|other| other == scenario));
        assert_eq!(dealt, whole);
        assert_eq!(of(0, 1).unwrap(), whole);
        assert!(of(0, whole.len() as u64 + 1).unwrap_err().cause.contains("some would have none"));
    }
}
