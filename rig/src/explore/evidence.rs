//! A schedule beside the evidence of its failure, in the form of a scenario, so that it can be run, replayed and shrunk.

use super::schedule::Strategy;
use crate::scenario::{self, HoldSpec, Scenario};
use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The scenario that a machine ran.
const SCENARIO: &str = "scenario.toml";
/// What was under test when it failed.
const SCHEDULE: &str = "schedule.json";

/// What failed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// Its seed.
    pub seed: Option<u64>,
    /// How it became a schedule.
    pub strategy: Option<Strategy>,
    /// The holds of one update.
    pub holds: Vec<HoldSpec>,
}

/// Writes the schedule of a seed into a run folder.
pub fn write(folder: &Path, seed: u64, strategy: Strategy, holds: &[HoldSpec]) -> Result<(), Trouble> {
    let schedule = Schedule { seed: Some(seed), strategy: Some(strategy), holds: holds.to_vec() };
    let text = serde_json::to_string_pretty(&schedule).expect("a schedule is plain data") + "\n";
    let path = folder.join(SCHEDULE);
    std::fs::write(&path, text).map_err(|e| Trouble::file("write", &path, &e))
}

/// Writes a scenario as a file that `rig run` takes.
pub fn write_scenario(path: &Path, scenario: &Scenario) -> Result<(), Trouble> {
    let text = toml::to_string_pretty(scenario).expect("a scenario is plain data");
    std::fs::write(path, text).map_err(|e| Trouble::file("write", path, &e))
}

/// The scenario of a run folder or of a scenario file, with the holds under which it failed, for one update.
pub fn read(run: &Path) -> Result<Scenario, Trouble> {
    let file = if run.is_dir() { run.join(SCENARIO) } else { run.to_owned() };
    let mut scenario = scenario::from_file(&file)?;
    let schedule = run.join(SCHEDULE);
    if schedule.is_file() {
        let text = std::fs::read(&schedule).map_err(|e| Trouble::file("read", &schedule, &e))?;
        let help = "give the folder of a guest that `rig explore` kept";
        let bad = |e| Trouble::usage(format!("{} is no schedule: {e}", schedule.display()), help);
        let schedule: Schedule = serde_json::from_slice(&text).map_err(bad)?;
        scenario.holds = schedule.holds;
    }
    Ok(scenario)
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
        write(dir.path(), 5, Strategy::Priorities, &holds).unwrap();
        let read_back = read(dir.path()).unwrap();
        assert_eq!(read_back.holds, holds);
        let file = dir.path().join("shrunk.toml");
        write_scenario(&file, &read_back).unwrap();
        assert_eq!(read(&file).unwrap(), read_back);
    }
}
