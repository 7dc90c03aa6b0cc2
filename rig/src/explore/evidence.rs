//! A schedule beside the evidence of its failure, in the form of a scenario, so that it can be run, replayed and shrunk.

use super::results;
use super::schedule::Strategy;
use crate::scenario::{self, HoldSpec, Scenario};
use crate::trouble::Trouble;
use crate::whole_file;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::path::Path;

/// The scenario that a machine ran.
pub(crate) const SCENARIO: &str = "scenario.toml";
/// Name of the file of results in the folder of an exploration.
pub const RESULTS: &str = "results.jsonl";
/// What was under test when it failed.
const SCHEDULE: &str = "schedule.json";

/// What failed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its seed.
    pub seed: Option<u64>,
    /// How it became a schedule.
    pub strategy: Option<Strategy>,
    /// The holds of one update.
    pub holds: Vec<HoldSpec>,
    /// The holds of the updates before it in the same guest; only of deterministic runs, where they matter.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub before: Vec<Vec<HoldSpec>>,
    /// Digest of the timeline, where a repetition has the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<String>,
    /// Hashes of all that decides a deterministic run, by name.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub made_of: Value,
}

impl Schedule {
    /// Names of what is not as it was in the run that this one repeats.
    pub fn differing(&self, made_of: &Value) -> Vec<String> {
        results::differing(&self.made_of, made_of)
    }
}

/// Writes a schedule into a run folder.
pub fn write(folder: &Path, schedule: &Schedule) -> Result<(), Trouble> {
    let text = serde_json::to_string_pretty(schedule).expect("a schedule is plain data") + "\n";
    let path = folder.join(SCHEDULE);
    std::fs::write(&path, text).map_err(|e| Trouble::file("write", &path, &e))
}

/// Writes a scenario as a file that `rig run` takes.
pub fn write_scenario(path: &Path, scenario: &Scenario) -> Result<(), Trouble> {
    whole_file::replace(path, scenario.to_toml().as_bytes())
}

/// The folder of an exploration is no run: its guests are.
pub fn check_guest(run: &Path) -> Result<(), Trouble> {
    let file = run.join(RESULTS);
    if run.join(SCENARIO).exists() || !file.is_file() {
        return Ok(());
    }
    let cause = format!("{} is the folder of an exploration, not of a run", run.display());
    let found = results::read(&file).map(|(_, found)| found).unwrap_or_default();
    let runs = found.seeds.iter().filter(|r| r.has_failed()).filter_map(|r| r.run.as_ref());
    let help = match runs.chain(found.guests.iter().map(|guest| &guest.run)).next() {
        Some(first) => format!("give one of its guests, such as {}", run.join(first).display()),
        None => "nothing failed in it, so no guest was kept".to_owned(),
    };
    Err(Trouble::usage(cause, help))
}

/// The scenario of a run folder or of a scenario file, for one update, and the schedule under which it failed.
pub fn read(run: &Path) -> Result<(Scenario, Schedule), Trouble> {
    check_guest(run)?;
    let file = if run.is_dir() { run.join(SCENARIO) } else { run.to_owned() };
    let mut scenario = scenario::from_file(&file)?;
    let kept = run.join(SCHEDULE);
    let holds = std::mem::take(&mut scenario.holds);
    if !kept.is_file() {
        return Ok((scenario, Schedule { holds, ..Schedule::default() }));
    }
    let text = std::fs::read(&kept).map_err(|e| Trouble::file("read", &kept, &e))?;
    let help = "give the folder of a guest that `rig explore` kept";
    let bad = |e| Trouble::usage(format!("{} is no schedule: {e}", kept.display()), help);
    Ok((scenario, serde_json::from_slice(&text).map_err(bad)?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::explore::schedule::{Space, schedule};

    #[test]
    fn what_a_run_leaves_can_be_read_again() {
        let dir = tempfile::tempdir().unwrap();
        let holds = schedule(5, Strategy::Priorities, &Space::of_update(4, "update_ctrl.num_ack"));
        let scenario = Scenario { name: "x".into(), ..Scenario::default() };
        write_scenario(&dir.path().join(SCENARIO), &scenario).unwrap();
        let failed =
            Schedule { seed: Some(5), holds: holds.clone(), before: vec![holds.clone()], ..Schedule::default() };
        write(dir.path(), &failed).unwrap();
        assert_eq!(read(dir.path()).unwrap(), (scenario.clone(), failed));
        let file = dir.path().join("shrunk.toml");
        write_scenario(&file, &Scenario { holds: holds.clone(), ..scenario.clone() }).unwrap();
        assert_eq!(read(&file).unwrap(), (scenario, Schedule { holds, ..Schedule::default() }));
    }

    #[test]
    fn an_exploration_is_no_run_and_says_which_of_its_guests_is() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join(RESULTS);
        let mut results = results::Results::open(&file, &results::tests::header()).unwrap();
        let refused = read(dir.path()).unwrap_err();
        assert!(
            refused.cause.contains("folder of an exploration") && refused.help.contains("nothing failed"),
            "{refused:?}"
        );
        results.add_guest(results::tests::guest()).unwrap();
        assert!(read(dir.path()).unwrap_err().help.ends_with("guests/1"));
        assert!(check_guest(&file).is_ok());
    }

    #[test]
    fn what_changed_is_named() {
        let made_of = serde_json::json!({ "kernel": "a", "plugin": "b" });
        let then = Schedule { made_of, ..Schedule::default() };
        assert_eq!(then.differing(&serde_json::json!({ "kernel": "a", "plugin": "b" })), [""; 0]);
        assert_eq!(
            then.differing(&serde_json::json!({ "kernel": "x", "snapshot": "c" })),
            ["kernel", "plugin", "snapshot"]
        );
        assert_eq!(Schedule::default().differing(&serde_json::json!({ "kernel": "x" })), [""; 0], "nothing is known");
    }
}
