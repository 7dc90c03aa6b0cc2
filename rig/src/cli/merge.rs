//! `rig merge`

use super::output;
use crate::explore::results;
use crate::explore::summary::Summary;
use crate::trouble::Trouble;
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
    let (header, found, differing) = results::merge(&files)?;
    if let Some(out) = &arguments.out {
        results::write(out, &header, &found)?;
    }
    let summary = Summary::of(&found);
    let exit = summary.exit();
    if arguments.json {
        output::json(&serde_json::json!({
            "exit_code": exit as u8, "summary": summary, "seeds": found.seeds.len(), "differing_seeds": differing,
        }));
    } else {
        output::text_line(&summary.text());
        if !differing.is_empty() {
            output::text_line(&format!("seeds that came out differently on different machines: {differing:?}"));
        }
    }
    Ok(exit as u8)
}
