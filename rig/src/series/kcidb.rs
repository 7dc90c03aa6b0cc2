//! The series as a report for KCIDB, the database of `KernelCI` (schema 5.3 of `kcidb-io`): a checkout for each state of the source, its
//! build, and a test for each scenario.

use super::{PatchRow, PatchStanding, ScenarioResult, SeriesReport};
use rig_judge::Outcome;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// Who reports. `KernelCI` agrees a name with each submitter.
const ORIGIN: &str = "seamrig";

/// The report.
pub fn kcidb(report: &SeriesReport) -> Value {
    let mut states = vec![State::of_base(report)];
    let mut before: Vec<&PatchRow> = Vec::new();
    for row in &report.rows {
        let with: Vec<&PatchRow> =
            if report.each_alone { vec![row] } else { before.iter().copied().chain([row]).collect() };
        states.push(State::of_row(report, row, &with));
        if !matches!(row.standing, PatchStanding::DoesNotApply) {
            before.push(row);
        }
    }
    let builds: Vec<Value> = states.iter().filter_map(State::build).collect();
    let tests: Vec<Value> = states.iter().flat_map(State::tests).collect();
    let checkouts: Vec<Value> = states.iter().map(State::checkout).collect();
    json!({ "version": { "major": 5, "minor": 3 }, "checkouts": checkouts, "builds": builds, "tests": tests })
}

/// One state of the source.
struct State<'a> {
    commit: Option<&'a str>,
    /// Hashes of the patches on the commit; empty: there are none.
    patches: Vec<&'a str>,
    title: &'a str,
    standing: Option<PatchStanding>,
    reason: Option<&'a str>,
    results: &'a [ScenarioResult],
}

impl<'a> State<'a> {
    fn of_base(report: &'a SeriesReport) -> Self {
        let commit = report.base_commit.as_deref();
        Self {
            commit,
            patches: Vec::new(),
            title: &report.base,
            standing: None,
            reason: None,
            results: &report.base_results,
        }
    }

    fn of_row(report: &'a SeriesReport, row: &'a PatchRow, with: &[&'a PatchRow]) -> Self {
        Self {
            commit: row.commit.as_deref().or(report.base_commit.as_deref()),
            patches: with.iter().filter_map(|row| row.patch_sha256.as_deref()).collect(),
            title: &row.title,
            standing: Some(row.standing),
            reason: row.reason.as_deref(),
            results: &row.results,
        }
    }

    /// As the schema says: SHA-256 of the patches' hashes, each with a line's end; empty without patches.
    fn patchset_hash(&self) -> String {
        if self.patches.is_empty() {
            return String::new();
        }
        let lines: String = self.patches.iter().flat_map(|hash| [hash, "\n"]).collect();
        format!("{:x}", Sha256::digest(lines))
    }

    fn id(&self) -> String {
        let state = format!("{} {} {}", self.commit.unwrap_or(self.title), self.patchset_hash(), self.title);
        format!("{ORIGIN}:{}", &format!("{:x}", Sha256::digest(state))[..32])
    }

    fn checkout(&self) -> Value {
        let mut checkout = json!({ "id": self.id(), "origin": ORIGIN, "comment": one_line(self.title),
            "patchset_hash": self.patchset_hash(), "valid": self.standing != Some(PatchStanding::DoesNotApply) });
        if let Some(commit) = self.commit {
            checkout["git_commit_hash"] = json!(commit);
        }
        checkout
    }

    fn build(&self) -> Option<Value> {
        let status = match self.standing {
            Some(PatchStanding::DoesNotApply) => return None,
            Some(PatchStanding::DoesNotBuild) => "FAIL",
            _ => "PASS",
        };
        let mut build = json!({ "id": self.build_id(), "checkout_id": self.id(), "origin": ORIGIN,
            "architecture": "x86_64", "config_name": "seamrig", "status": status });
        if let (Some(PatchStanding::DoesNotBuild), Some(error)) = (self.standing, self.reason) {
            build["log_excerpt"] = json!(error.chars().take(4096).collect::<String>());
        }
        Some(build)
    }

    fn build_id(&self) -> String {
        format!("{}-build", self.id())
    }

    fn tests(&self) -> Vec<Value> {
        let test = |result: &ScenarioResult| {
            let mut test = json!({ "id": format!("{}-{}", self.build_id(), result.scenario), "build_id": self.build_id(),
                "origin": ORIGIN, "path": format!("tdx_module_update.{}", path_part(&result.scenario)),
                "status": status(result.outcome), "duration": duration_s(result.time_ms),
                "environment": { "comment": "QEMU with emulated TDX firmware" },
                "misc": { "outcome": result.outcome.name(), "broken": result.by } });
            if let Some(reason) = &result.reason {
                test["comment"] = json!(one_line(reason));
            }
            test
        };
        self.results.iter().map(test).collect()
    }
}

/// A kernel with its known defect fails, and one without it passes: who reads KCIDB asks about the kernel, not about the scenario.
const fn status(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::Passed | Outcome::Xpass => "PASS",
        Outcome::Failed | Outcome::Xfail | Outcome::Hung | Outcome::GuestCrashed => "FAIL",
        Outcome::RigError => "ERROR",
        Outcome::Unjudged => "MISS",
        Outcome::Skipped => "SKIP",
    }
}

fn duration_s(time_ms: u64) -> f64 {
    std::time::Duration::from_millis(time_ms).as_secs_f64()
}

/// The schema's pattern for comments goes to the end of the text.
fn one_line(text: &str) -> String {
    text.replace(['\n', '\0'], " ")
}

/// A path's part has letters, digits, `_` and `-`.
fn path_part(scenario: &str) -> String {
    scenario.chars().map(|c| if c.is_ascii_alphanumeric() || c == '-' { c } else { '_' }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::example;
    use super::*;
    use std::collections::BTreeSet;

    /// What the schema demands: these keys, and no others than those beneath.
    const CHECKOUT: [&[&str]; 2] = [&["id", "origin"], &["comment", "patchset_hash", "valid", "git_commit_hash"]];
    const BUILD: [&[&str]; 2] =
        [&["id", "checkout_id", "origin"], &["architecture", "config_name", "status", "log_excerpt"]];
    const TEST: [&[&str]; 2] =
        [&["id", "build_id", "origin"], &["path", "status", "duration", "environment", "misc", "comment"]];
    const STATUSES: [&str; 6] = ["FAIL", "ERROR", "MISS", "PASS", "DONE", "SKIP"];

    fn check<'v>(report: &'v Value, kind: &str, [demanded, free]: [&[&str]; 2]) -> &'v Vec<Value> {
        let objects = report[kind].as_array().unwrap();
        let mut ids = BTreeSet::new();
        for object in objects {
            let keys: Vec<&str> = object.as_object().unwrap().keys().map(String::as_str).collect();
            assert!(demanded.iter().all(|key| keys.contains(key)), "{kind}: {keys:?}");
            assert!(keys.iter().all(|key| demanded.contains(key) || free.contains(key)), "{kind}: {keys:?}");
            assert!(object["id"].as_str().unwrap().starts_with("seamrig:"), "{object}");
            assert!(ids.insert(object["id"].as_str().unwrap().to_owned()), "twice: {object}");
            assert!(object.get("status").is_none_or(|s| STATUSES.contains(&s.as_str().unwrap())), "{object}");
        }
        objects
    }

    #[test]
    fn the_report_has_what_the_schema_demands_and_nothing_that_it_does_not_know() {
        let mut report = example();
        report.base_commit = Some("1".repeat(40));
        let value = kcidb(&report);
        assert_eq!(value["version"], json!({ "major": 5, "minor": 3 }));
        let checkouts: BTreeSet<&str> =
            check(&value, "checkouts", CHECKOUT).iter().map(|c| c["id"].as_str().unwrap()).collect();
        let builds = check(&value, "builds", BUILD);
        assert!(builds.iter().all(|build| checkouts.contains(build["checkout_id"].as_str().unwrap())));
        let builds: BTreeSet<&str> = builds.iter().map(|build| build["id"].as_str().unwrap()).collect();
        let tests = check(&value, "tests", TEST);
        assert!(tests.iter().all(|test| builds.contains(test["build_id"].as_str().unwrap())));
        assert_eq!((checkouts.len(), builds.len(), tests.len()), (5, 5, 8));
    }

    #[test]
    fn statuses_are_about_the_kernel() {
        let value = kcidb(&example());
        let of = |at: usize| {
            (value["tests"][at]["misc"]["outcome"].as_str().unwrap(), value["tests"][at]["status"].as_str().unwrap())
        };
        assert_eq!(
            [of(0), of(1), of(3), of(4)],
            [("passed", "PASS"), ("xfail", "FAIL"), ("xpass", "PASS"), ("failed", "FAIL")]
        );
        let builds: Vec<&str> =
            value["builds"].as_array().unwrap().iter().map(|b| b["status"].as_str().unwrap()).collect();
        assert_eq!(builds, ["PASS", "PASS", "PASS", "PASS", "FAIL"]);
    }

    #[test]
    fn a_series_without_patches_before_it_has_the_hash_of_the_schema() {
        let value = kcidb(&example());
        assert_eq!(value["checkouts"][0]["patchset_hash"], "");
        let first = format!("{:064}\n", 1);
        assert_eq!(value["checkouts"][1]["patchset_hash"], json!(format!("{:x}", Sha256::digest(first))));
    }
}
