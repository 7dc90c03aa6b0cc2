//! `rig bisect`

use super::output;
use super::series_flags::SeriesFlags;
use crate::series::{self, BisectRequest, BisectStep, FirstBad, Listener, ScenarioResult};
use crate::trouble::Trouble;
use rig_images::Progress;
use std::fmt::Write;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig bisect --git ~/linux v7.3..HEAD                     what HEAD does worse, in the quick suite
  cargo rig bisect --git ~/linux v7.3..HEAD --scenario plain    in one scenario

Commits that do not build or cannot be judged are skipped. The same command again goes on where it
was stopped. The tree is not changed.

Exit codes: 0 the first bad commit was found; 125 it was not: only skipped ones are left, BAD is no
worse than GOOD, or the rig failed.";

#[derive(Debug, clap::Args)]
pub(super) struct BisectArguments {
    /// A git tree, and two of its commits
    #[arg(long, num_args = 2, value_names = ["TREE", "GOOD..BAD"], required = true)]
    git: Vec<String>,
    #[command(flatten)]
    common: SeriesFlags,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &BisectArguments) -> Result<u8, Trouble> {
    let progress = Progress::stderr();
    let (scenarios, _) = arguments.common.scenarios()?;
    let request = BisectRequest {
        out: arguments.common.folder()?,
        tree: PathBuf::from(&arguments.git[0]),
        range: arguments.git[1].clone(),
        scenarios,
        room: arguments.common.room(),
    };
    let on_result = |title: &str, result: &ScenarioResult| {
        progress.say(&format!("{}: {}  ({title})", result.scenario, result.words()));
    };
    let on_step = |step: &BisectStep| {
        if !arguments.json {
            output::text_line(&line(step));
        }
    };
    let bar = progress.step("bisect", 0);
    let found = series::bisect(&request, &Listener { progress: &progress, on_result: &on_result }, on_step)?;
    bar.done();
    let exit = found.exit() as u8;
    if arguments.json {
        output::json(&serde_json::json!({ "exit_code": exit, "bisection": found, "folder": request.out }));
    } else {
        output::text_line(&end(&found));
    }
    Ok(exit)
}

fn line(step: &BisectStep) -> String {
    let what = step.what.as_ref().map(|what| format!("\n{:16}{what}", "")).unwrap_or_default();
    format!("{:14}  {} {}{what}", step.standing.words(), short(&step.commit), step.title)
}

fn end(found: &FirstBad) -> String {
    let head = match found.commits.len() {
        0 => return "interrupted; the same command goes on where this one was stopped".into(),
        1 => "the first bad commit is",
        _ => "the first bad commit is one of these, between which nothing could be judged:",
    };
    let mut text = format!("\n{head}");
    for (commit, title) in &found.commits {
        let _ = write!(text, "\n  {} {title}", short(commit));
    }
    for worse in &found.worse {
        let _ = write!(text, "\n{}", worse.words());
    }
    text
}

fn short(commit: &str) -> &str {
    &commit[..commit.len().min(12)]
}
