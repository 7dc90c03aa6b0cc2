//! `rig compare-acks`

use super::output;
use crate::acks::{self, Measured};
use crate::scenario::{Ack, Scenario, Subject};
use crate::trouble::Trouble;
use rig_images::Progress;
use std::path::{Path, PathBuf};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Numbers of vCPUs
    #[arg(long, value_delimiter = ',', default_value = "2,4,8,16,32,64", value_name = "N,...")]
    cpus: Vec<u32>,
    /// Updates of each run
    #[arg(long, default_value_t = 10, value_name = "N")]
    updates: u32,
    /// Runs of each acknowledgement at each number of vCPUs, taken in turn
    #[arg(long, default_value_t = 2, value_name = "N")]
    runs: u32,
    /// Folder for the figures, the plot and the runs; must not exist or be empty
    #[arg(long, default_value = "runs/compare-acks", value_name = "DIR")]
    out: PathBuf,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let progress = Progress::stderr();
    let mut measured = Vec::new();
    for cpus in &arguments.cpus {
        // In turn, so that a host that gets slower is unfair to neither.
        for number in 1..=arguments.runs {
            for ack in [Ack::Lock, Ack::Atomic] {
                let scenario = scenario(*cpus, arguments.updates, ack);
                let folder = arguments.out.join(format!("{cpus}-{}-{number}", ack.parameter()));
                measured.push(acks::measure(scenario, ack, &folder, &progress)?);
            }
        }
    }
    let rows = acks::summarise(&measured);
    write(&arguments.out, "acks.json", &to_json(&measured))?;
    write(&arguments.out, "acks.svg", &acks::plot(&rows))?;
    if arguments.json {
        output::json(&serde_json::json!({ "rows": rows, "folder": arguments.out }));
    } else {
        output::text_line(&acks::table(&rows));
        output::text_line(&format!("figures and plot: {}", arguments.out.display()));
    }
    Ok(0)
}

fn to_json(measured: &[Measured]) -> String {
    serde_json::to_string(measured).expect("figures are plain data") + "\n"
}

fn scenario(cpus: u32, updates: u32, ack: Ack) -> Scenario {
    let name = format!("acks-{cpus}-{}", ack.parameter());
    Scenario { name, cpus, updates, subject: Subject::Kmod, ack: Some(ack), ..Scenario::default() }
}

fn write(folder: &Path, name: &str, text: &str) -> Result<(), Trouble> {
    let path = folder.join(name);
    std::fs::write(&path, text).map_err(|e| Trouble::file("write", &path, &e))
}
