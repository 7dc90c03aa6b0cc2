//! `rig list`

use super::output;
use crate::scenario::{Scenario, Tag, catalogue};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only the scenarios of this suite
    #[arg(long, value_enum)]
    tag: Option<Tag>,
    /// Write one JSON array to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let scenarios = arguments.tag.map_or_else(catalogue::all, catalogue::suite);
    if arguments.json {
        output::json(&scenarios);
        return 0;
    }
    let width = scenarios.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for scenario in &scenarios {
        output::text_line(&line(scenario, width));
    }
    output::text_line(&format!("\n{} scenarios; `rig run NAME` runs one", scenarios.len()));
    0
}

fn line(scenario: &Scenario, width: usize) -> String {
    let tag = scenario.tags.iter().min().map_or("", |tag| match tag {
        Tag::Quick => "quick",
        Tag::Full => "full",
        Tag::Night => "night",
    });
    format!("{:width$}  {tag:5}  {:3} CPUs  {}", scenario.name, scenario.cpus, scenario.why)
}
