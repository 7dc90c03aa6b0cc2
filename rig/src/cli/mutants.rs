//! `rig mutants`

use super::output;
use crate::mutants::{self, Mutant, Request, Standing, markdown};
use crate::trouble::Trouble;
use rig_images::{Images, Progress};
use std::num::NonZeroUsize;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig mutants                          all mutants, about an hour; the same command again goes on where it was
  cargo rig mutants --only ack_state         those of one function
  cargo rig mutants --list                   their names and changes
  cargo rig mutants --json                   one JSON object on stdout, with the diff of each

Exit codes: 0 each is caught, does not compile, or is explained in rig/src/mutants/explained.toml; 1 one is not; 2 usage;
5 the rig or this machine failed, or not all were reached.";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only mutants with this in their name, such as `ack_state`, `swap-statements` or `ack_state:240`
    #[arg(long, value_name = "PATTERN")]
    only: Option<String>,
    /// Machines at once; one kernel is built at a time
    #[arg(long, value_name = "N", default_value = "1")]
    jobs: NonZeroUsize,
    /// Folder of kernels (20 MB each), results and evidence; results in it are used again if nothing changed
    #[arg(long, default_value = "runs/mutants", value_name = "DIR")]
    out: PathBuf,
    /// Name the mutants and their changes, build and run nothing
    #[arg(long)]
    list: bool,
    /// Build the kernels, run nothing
    #[arg(long, conflicts_with = "list")]
    only_build: bool,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let progress = Progress::stderr();
    if arguments.list {
        return list(arguments, &progress);
    }
    std::fs::create_dir_all(&arguments.out).map_err(|e| Trouble::file("make", &arguments.out, &e))?;
    let out = arguments.out.canonicalize().map_err(|e| Trouble::file("use", &arguments.out, &e))?;
    let request = Request { out, only: arguments.only.clone(), jobs: arguments.jobs };
    if arguments.only_build {
        mutants::build(&request, &progress)?;
        return Ok(0);
    }
    let report = mutants::run(&request, &progress)?;
    let exit = report.exit() as u8;
    if arguments.json {
        output::json(&serde_json::json!({ "exit_code": exit, "report": report, "folder": request.out }));
    } else {
        output::text_line(&markdown(&report));
    }
    let unexplained = report.count(Standing::Unexplained);
    if unexplained > 0 {
        eprintln!("error: {unexplained} mutants passed and nobody said why");
        eprintln!(
            "help: let a scenario or the judge notice them, or say in rig/src/mutants/explained.toml why they are no error"
        );
    }
    Ok(exit)
}

fn list(arguments: &Arguments, progress: &Progress) -> Result<u8, Trouble> {
    let images = Images::open(progress.clone())?;
    let all = mutants::mutants(|file| Ok(images.kernel_source(file)?))?;
    let wanted = |mutant: &&Mutant| arguments.only.as_deref().is_none_or(|only| mutant.identity().contains(only));
    let chosen: Vec<&Mutant> = all.iter().filter(wanted).collect();
    if arguments.json {
        let lines: Vec<_> = chosen.iter().map(|m| json(m)).collect();
        output::json(&serde_json::json!({ "mutants": lines }));
        return Ok(0);
    }
    for mutant in &chosen {
        let [before, after] =
            [&mutant.before, &mutant.after].map(|text| text.split_whitespace().collect::<Vec<_>>().join(" "));
        output::text_line(&format!("{}  {before}  ->  {after}", mutant.identity()));
    }
    output::text_line(&format!("{} mutants", chosen.len()));
    Ok(0)
}

fn json(mutant: &Mutant) -> serde_json::Value {
    serde_json::json!({ "mutant": mutant.identity(), "file": mutant.file, "function": mutant.function, "rule": mutant.rule,
        "line": mutant.line, "before": mutant.before, "after": mutant.after })
}
