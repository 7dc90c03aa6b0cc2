//! `rig engines`

use super::output;
use crate::run::{self, Options};
use crate::scenario::catalogue;
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_judge::{Invariant, Standing, Verdict};
use serde::Serialize;
use std::fmt::Write;
use std::path::PathBuf;
use std::time::Instant;

/// The scenarios, which differ in the engine and, those with `guests`, in the load.
const SCENARIOS: [&str; 6] = [
    "engine-stop-machine",
    "engine-rwlock",
    "engine-kick",
    "engine-kick-guests",
    "engine-notifier",
    "engine-notifier-guests",
];

/// The requirements on an update, with the invariant that judges each.
const REQUIREMENTS: [(&str, &str, Invariant); 5] = [
    ("R1", "SEAMCALLs from process and interrupt context", Invariant::Concurrency),
    ("R2", "SEAMCALLs on all CPUs at once", Invariant::Concurrency),
    ("R3", "only the update's SEAMCALLs during an update", Invariant::UpdateOnly),
    ("R4", "all online CPUs take part", Invariant::Participation),
    ("R5", "no step before all CPUs acknowledged the one before", Invariant::Lockstep),
];

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Folder for the runs; must not exist or be empty
    #[arg(long, default_value = "runs/engines", value_name = "DIR")]
    out: PathBuf,
    /// Write one JSON object to stdout, and nothing else
    #[arg(long)]
    pub(super) json: bool,
}

/// The result of one engine.
#[derive(Debug, Serialize)]
struct Row {
    scenario: &'static str,
    /// By requirement.
    requirements: [Standing; 5],
    /// Whether the run ended as its scenario says.
    as_expected: bool,
    exit_code: u8,
}

/// Runs all engines; 1 when one did not end as its scenario says.
pub(super) fn run(arguments: &Arguments) -> Result<u8, Trouble> {
    let progress = Progress::stderr();
    let mut rows = Vec::new();
    for name in SCENARIOS {
        let options = Options { out: Some(arguments.out.join(name)), ..Options::default() };
        let prepared = run::prepare(catalogue::named(name)?, &options, &progress)?;
        rows.push(row(name, &run::run(prepared, Instant::now(), &progress)?));
    }
    let exit = u8::from(!rows.iter().all(|row| row.as_expected));
    if arguments.json {
        output::json(&serde_json::json!({ "exit_code": exit, "engines": rows, "folder": arguments.out }));
    } else {
        output::text_line(&table(&rows));
    }
    Ok(exit)
}

fn row(scenario: &'static str, verdict: &Verdict) -> Row {
    let standing = |invariant| verdict.invariants.get(&invariant).copied().unwrap_or(Standing::NotApplicable);
    let as_expected = verdict.exit_code == 0;
    let requirements = REQUIREMENTS.map(|(_, _, invariant)| standing(invariant));
    Row { scenario, requirements, as_expected, exit_code: verdict.exit_code }
}

/// A Markdown table, and what its columns mean.
fn table(rows: &[Row]) -> String {
    let mut text = String::from(
        "| scenario | R1 | R2 | R3 | R4 | R5 | ended as expected |\n| --- | --- | --- | --- | --- | --- | --- |\n",
    );
    for row in rows {
        let cells = row.requirements.map(word).join(" | ");
        let expected = if row.as_expected { "yes" } else { "NO" };
        let _ = writeln!(text, "| {} | {cells} | {expected} |", row.scenario);
    }
    for (name, meaning, invariant) in REQUIREMENTS {
        let _ = write!(text, "\n{name}: {meaning} ({})", invariant.name());
    }
    text
}

const fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Held => "met",
        Standing::Broken => "BROKEN",
        Standing::NotApplicable => "-",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::Subject;

    #[test]
    fn every_engine_has_its_scenario() {
        for name in SCENARIOS {
            let scenario = catalogue::named(name).unwrap();
            assert!(scenario.subject == Subject::Kmod && scenario.engine.is_some(), "{name}");
        }
    }

    #[test]
    fn a_broken_requirement_stands_out() {
        let mut requirements = [Standing::Held; 5];
        (requirements[2], requirements[4]) = (Standing::Broken, Standing::NotApplicable);
        let table = table(&[Row { scenario: "engine-kick", requirements, as_expected: true, exit_code: 0 }]);
        assert!(table.contains("| engine-kick | met | met | BROKEN | met | - | yes |"), "{table}");
        assert!(table.contains("R3: only the update's SEAMCALLs during an update (update-only)"), "{table}");
    }
}
