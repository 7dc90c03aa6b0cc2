//! `rig suite`

use super::output;
use crate::run::Interrupts;
use crate::scenario::{Tag, catalogue};
use crate::suite::{self, Ran, Room};
use crate::trouble::{Exit, Trouble};
use rig_images::Progress;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Which scenarios; `full` has all of `quick`, and `night` has all
    #[arg(long, value_enum, default_value = "quick")]
    tag: Tag,
    /// The kernel of all scenarios that name none: a path as for `rig run`, or `profile:debug`, `profile:kcsan`, `profile:rt`
    #[arg(long, value_name = "PATH")]
    kernel: Option<PathBuf>,
    /// What some of its scenarios need and the rig has not, as for `rig run`; they are skipped without it
    #[arg(long = "client", value_name = "PATH")]
    clients: Vec<PathBuf>,
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
    let folder = folder(arguments.out.as_deref())?;
    let mut scenarios = catalogue::suite(arguments.tag);
    for scenario in &mut scenarios {
        scenario.kernel = scenario.kernel.take().or(arguments.kernel.clone());
        if let Some(userspace) = scenario.userspace.as_mut().filter(|userspace| !userspace.brings.is_empty()) {
            userspace.given.clone_from(&arguments.clients);
        }
    }
    let width = scenarios.iter().map(|s| s.name.len()).max().unwrap_or(0);
    let progress = Progress::stderr();
    let interrupts = Interrupts::listen().map_err(|e| {
        Trouble::environment(format!("cannot listen to signals: {e}"), "report this with the message above")
    })?;
    // A proof about another kernel may end without a verdict.
    let proofs = if arguments.kernel.is_none() { suite::proofs(arguments.tag) } else { Vec::new() };
    let number = scenarios.len() + proofs.len();
    let run = |scenario| suite::run_one(scenario, &folder, &progress);
    let print_line = |ran: &Ran| {
        if !arguments.json {
            output::text_line(&suite::line(ran, width));
        }
    };
    let mut results = suite::run_all(scenarios, room(arguments.jobs), || !interrupts.happened(), run, print_line);
    for (name, request) in proofs {
        if interrupts.happened() {
            break;
        }
        let ran = suite::run_proof(name, request, &progress);
        print_line(&ran);
        results.push(ran);
    }
    let exit = if results.len() == number { suite::exit(&results) } else { cut_short(&results, number) };
    write(&folder, "junit.xml", &suite::junit(&format!("{:?}", arguments.tag).to_lowercase(), &results))?;
    write(&folder, "ktap.txt", &suite::ktap(&results))?;
    if arguments.json {
        output::json(&serde_json::json!({ "exit_code": exit as u8, "scenarios": results, "suite_dir": folder }));
    } else {
        output::text_line(&format!("\n{}\nreports and evidence: {}", suite::summary(&results), folder.display()));
    }
    Ok(exit as u8)
}

/// What the host has room for, with as many machines as asked for.
pub(super) fn room(jobs: Option<std::num::NonZeroUsize>) -> Room {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let host = Room::of_host(cores, crate::doctor::available_memory_mib().unwrap_or(0));
    Room { machines: jobs.map_or(host.machines, usize::from), ..host }
}

/// A suite that did not get to all of its scenarios says so, and never passes.
fn cut_short(results: &[Ran], number: usize) -> Exit {
    eprintln!("error: interrupted: {} of {number} scenarios were not run", number - results.len());
    eprintln!("help: run the suite again");
    if results.iter().any(Ran::has_failed) { Exit::Failed } else { Exit::Environment }
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
