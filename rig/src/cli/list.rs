//! `rig list`

use super::output;
use crate::scenario::{Demands, Scenario, Tag, catalogue};
use std::fmt::Write as _;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only the scenarios of this suite
    #[arg(long, value_enum)]
    tag: Option<Tag>,
    /// The invariants that each scenario demands to be held, and whether it names them or they follow from what it has
    #[arg(long)]
    demands: bool,
    /// Write one JSON array to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

pub(super) fn run(arguments: &Arguments) -> u8 {
    let scenarios = arguments.tag.map_or_else(catalogue::all, catalogue::suite);
    if arguments.json {
        if arguments.demands {
            output::json(&scenarios.iter().map(demands_json).collect::<Vec<_>>());
        } else {
            output::json(&scenarios);
        }
        return 0;
    }
    let width = scenarios.iter().map(|s| s.name.len()).max().unwrap_or(0);
    for scenario in &scenarios {
        let text = if arguments.demands { demands(scenario, width) } else { line(scenario, width) };
        output::text_line(&text);
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

/// What a scenario demands to be held, in words; for one of a known defect also what it demands without that.
fn demands(scenario: &Scenario, width: usize) -> String {
    let name = &scenario.name;
    let mut text = format!("{name:width$}  {}", in_words(scenario));
    if let Some(repaired) = scenario.repaired() {
        let defect = scenario.expect.known_defect.as_deref().unwrap_or_default();
        let _ = write!(text, "\n{:width$}  without {defect}: {}", "", in_words(&repaired));
    }
    text
}

fn in_words(scenario: &Scenario) -> String {
    let Demands { held, written } = scenario.demands();
    let broken = &scenario.expect.broken;
    let names: Vec<&str> = held.iter().map(|invariant| invariant.name()).collect();
    let source = if written { "written" } else { "derived" };
    match (names.is_empty(), scenario.nested.is_some()) {
        (true, true) => "what `nested.held` says".into(),
        (true, false) if !broken.is_empty() => {
            let broken: Vec<&str> = broken.iter().map(|invariant| invariant.name()).collect();
            format!("broken: {}", broken.join(", "))
        }
        (true, false) => format!("nothing ({source})"),
        (false, _) => format!("{source}: {}", names.join(", ")),
    }
}

fn demands_json(scenario: &Scenario) -> serde_json::Value {
    let of = |scenario: &Scenario| {
        let Demands { held, written } = scenario.demands();
        serde_json::json!({ "held": held, "written": written, "broken": scenario.expect.broken })
    };
    serde_json::json!({
        "scenario": scenario.name,
        "demands": of(scenario),
        "known_defect": scenario.expect.known_defect,
        "without_defect": scenario.repaired().as_ref().map(of),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::from_text;

    #[test]
    fn demands_say_whether_they_are_written_or_derived() {
        let words = |text: &str| demands(&from_text(&format!("name = \"x\"\n{text}"), "x.toml").unwrap(), 3);
        assert_eq!(words("expect.held = [\"progress\"]"), "x    written: progress");
        assert_eq!(words("expect.update = \"unchanged\""), "x    derived: quiet-kernel");
        assert_eq!(words("expect.held = []"), "x    nothing (written)");
        let broken =
            "subject = \"kmod\"\ntwin = \"lost-ack\"\nexpect = { verdict = \"failed\", broken = [\"lockstep\"] }";
        assert_eq!(words(broken), "x    broken: lockstep");
        let defect = "[expect]\nupdate = \"updated\"\nheld = [\"progress\"]\nknown_defect = \"finding 5\"\nrepaired = { update = \"unchanged\" }";
        assert_eq!(words(defect), "x    written: progress\n     without finding 5: derived: quiet-kernel");
    }
}
