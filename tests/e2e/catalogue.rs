//! The catalogue: its scenarios end as they say, and notice when they do not.

use crate::inversion::{self, Inverted, ShownBy};
use rig::scenario::{Scenario, Tag, catalogue};
use rig_tests::{Finished, Rig, share_host, take_host};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};

/// Only a run of the whole suite shows that scenarios, reports and exit code fit together.
#[test]
fn the_quick_suite_is_green() {
    let _host = share_host();
    let rig = Rig::default();
    let suite = rig.go(&["suite", "--tag", "quick", "--json", "--out", "suite"]).json(0);
    let scenarios = suite["scenarios"].as_array().unwrap();
    assert!(scenarios.len() > 10, "{suite:#}");
    assert!(scenarios.iter().any(|ran| ran["scenario"] == "prove-3"), "{suite:#}");
    for ran in scenarios {
        let name = ran["scenario"].as_str().unwrap();
        if name.starts_with("prove-") {
            assert_eq!(ran["verdict"], "passed", "{ran:#}");
            continue;
        }
        let is_defect = catalogue::named(name).unwrap().expect.known_defect.is_some();
        assert_eq!(ran["verdict"], if is_defect { "xfail" } else { "passed" }, "{ran:#}");
        assert!(rig.path("suite").join(name).join("verdict.json").exists(), "{name}");
    }
    let ktap = std::fs::read_to_string(rig.path("suite/ktap.txt")).unwrap();
    let passed = ktap.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(passed, scenarios.len(), "{ktap}");
    let junit = std::fs::read_to_string(rig.path("suite/junit.xml")).unwrap();
    assert_eq!(junit.matches("<testcase").count(), scenarios.len(), "{junit}");
}

/// Only runs with another expectation show that expectations are looked at: each must fail, by what was turned round and not by an
/// accident. Every kind has its turn in two machines; that each expectation of each scenario fails on the same evidence is
/// shown beside the code (`rig/src/run/conclude/expected_tests.rs`).
#[test]
fn every_kind_of_expectation_fails_when_it_is_turned_round() {
    let _host = share_host();
    let chosen =
        inversion::one_of_each(&catalogue::suite(Tag::Full).into_iter().filter(needs_nothing).collect::<Vec<_>>());
    let mut turns = std::collections::BTreeMap::new();
    must_fail(chosen.into_iter().filter(|inverted| {
        let turn = turns.entry(inverted.kind).or_insert(0);
        *turn += 1;
        *turn <= 2
    }));
}

/// The same with a machine for each scenario, the kinds taking turns.
#[test]
#[ignore = "a machine for each scenario of the full suite, about eleven minutes"]
fn every_scenario_fails_when_it_expects_something_else() {
    let _host = share_host();
    let (runs, needs): (Vec<_>, Vec<_>) = catalogue::suite(Tag::Full).into_iter().partition(needs_nothing);
    for scenario in needs {
        // Without what is brought there is nothing to run; with it, this is for the person who has it.
        Rig::default().go(&["run", &scenario.name]).expect(77);
    }
    must_fail(inversion::one_of_each(&runs));
}

fn must_fail(inverted: impl IntoIterator<Item = Inverted>) {
    let rig = Rig::default();
    for Inverted { kind, scenario, shown_by } in inverted {
        let text = toml::to_string_pretty(&scenario).expect("a scenario is plain data");
        let file = rig.file(&format!("{}.toml", scenario.name), text);
        let what = format!("{} with another {kind}", scenario.name);
        let finished = rig.go(&["run", file.to_str().unwrap(), "--json"]);
        let ShownBy::Verdict(verdict) = &shown_by else {
            let verdict = finished.json(1);
            let unmet = verdict["checks"].as_array().unwrap().iter().filter(|check| check["met"] == false);
            let shows = |check: &Value| match shown_by {
                ShownBy::Check(name) => check["name"].as_str().is_some_and(|own| own.starts_with(name)),
                ShownBy::Expected(words) => check["expected"] == words,
                ShownBy::Verdict(_) => false,
            };
            assert!(unmet.clone().any(shows), "{what}: {verdict:#}");
            continue;
        };
        let found = finished.json(1);
        assert_eq!(found["verdict"], *verdict, "{what}: {found:#}");
    }
}

fn needs_nothing(scenario: &Scenario) -> bool {
    scenario.userspace.as_ref().is_none_or(|userspace| userspace.brings.is_empty())
}

/// A fault that never strikes leaves a plain update that passes, and a test of nothing: only a machine shows that the strikes are
/// counted from what the firmware records.
#[test]
fn a_fault_that_never_strikes_fails_the_run() {
    let _host = share_host();
    let rig = Rig::default();
    let struck = "{ leaf = \"SEAMLDR.INSTALL\", lp = 1, action = { delay-ns = 1000 } }";
    let never = "{ leaf = \"SEAMLDR.INSTALL\", lp = 2, nth = 50, action = { status = 0x8000000000010003 } }";
    let file = rig.file("vacuous.toml", format!("name = \"vacuous\"\nfaults = [{struck}, {never}]\n"));
    let verdict = rig.go(&["run", file.to_str().unwrap(), "--json"]).json(1);
    let reason = "fault of SEAMLDR.INSTALL on LP 2, call 50: expected struck, seen never struck";
    assert_eq!(verdict["reason"], reason, "{verdict:#}");
    let unmet = verdict["checks"].as_array().unwrap().iter().filter(|check| check["met"] == false);
    assert_eq!(unmet.count(), 1, "the other one struck: {verdict:#}");
}

/// Only a suite that is interrupted shows that it stops before its next scenario, says what was not run, and keeps what was.
#[test]
fn ctrl_c_ends_a_suite_with_its_reports() {
    let _host = take_host();
    let rig = Rig::default();
    let mut command = rig.command(&["suite", "--tag", "quick", "--out", "suite"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut first = String::new();
    let mut lines = BufReader::new(child.stdout.take().unwrap());
    lines.read_line(&mut first).unwrap();
    // Somewhere between the first scenario's end and the second one's.
    assert!(Command::new("kill").arg("-2").arg(child.id().to_string()).status().unwrap().success());
    let mut rest = String::new();
    lines.read_to_string(&mut rest).unwrap();
    let finished = Finished::from(child.wait_with_output().unwrap());
    finished.expect(5).says(&["interrupted", "were not run"]);
    assert!(rest.lines().count() < 8, "it went on: {rest}");
    let ktap = std::fs::read_to_string(rig.path("suite/ktap.txt")).unwrap();
    assert!(ktap.lines().any(|line| line.starts_with("ok 1 ")), "{ktap}");
}

/// A name that is none is a mistake of usage, and the nearest is named.
#[test]
fn a_scenario_that_does_not_exist_is_an_error() {
    let finished = Rig::default().go(&["run", "shutdown-bussy"]);
    finished.expect(2).says(&["no scenario", "shutdown-bussy"]);
    assert!(finished.stderr.contains("shutdown-busy`"), "{finished}");
}

/// An old suite's evidence is not mixed with a new one's.
#[test]
fn a_suite_folder_is_used_once() {
    let rig = Rig::default();
    rig.file("evidence", "");
    let folder = rig.path(".");
    rig.go(&["suite", "--out", folder.to_str().unwrap()]).expect(2).says(&["not empty"]);
}
