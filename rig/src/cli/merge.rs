//! `rig merge`

use super::output;
use crate::explore::results;
use crate::explore::summary::Summary;
use crate::trouble::{Exit, Trouble};
use std::io::Write;
use std::path::PathBuf;

pub(super) const EXAMPLES: &str = "\
Examples:
  cargo rig merge runs/explore-plain-*of8/results.jsonl
  cargo rig merge a.jsonl b.jsonl --out all.jsonl --json";

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// The results.jsonl of each machine
    #[arg(required = true)]
    files: Vec<PathBuf>,
    /// Write the joined results to this file
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let mut files = Vec::new();
    for path in &arguments.files {
        let (header, results) = results::read(path)?;
        files.push((path.clone(), header, results));
    }
    let (header, results, differing) = results::merge(&files)?;
    if let Some(out) = &arguments.out {
        let failed = |e| Trouble::file("write", out, &e);
        let mut file = std::fs::File::create(out).map_err(failed)?;
        let lines = std::iter::once(serde_json::to_string(&header)).chain(results.iter().map(serde_json::to_string));
        for line in lines {
            writeln!(file, "{}", line.expect("results are plain data")).map_err(failed)?;
        }
    }
    let summary = Summary::of(&results);
    let exit = if summary.rate.failures > 0 { Exit::Failed } else { Exit::Passed };
    if arguments.json {
        output::json(&serde_json::json!({
            "exit_code": exit as u8, "summary": summary, "seeds": results.len(), "differing_seeds": differing,
        }));
    } else {
        output::text_line(&summary.text());
        if !differing.is_empty() {
            output::text_line(&format!("seeds that came out differently on different machines: {differing:?}"));
        }
    }
    Ok(exit as u8)
}
