//! The catalogue: its scenarios end as they say, and notice when they do not.

use rig_tests::{Ended, Rig, one_machine};
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

/// What an update comes to when it does not come to this.
fn inverted(update: &str) -> &'static str {
    match update {
        "updated" => "unchanged",
        "unchanged" => "lost",
        _ => "updated",
    }
}

/// Only a run of the whole suite shows that scenarios, reports and exit code fit together.
#[test]
fn the_quick_suite_is_green() {
    let _machine = one_machine();
    let rig = Rig::default();
    let told = rig.go(&["suite", "--tag", "quick", "--json", "--out", "suite"]).json(0);
    let scenarios = told["scenarios"].as_array().unwrap();
    assert!(scenarios.len() > 10, "{told:#}");
    for ran in scenarios {
        assert_eq!(ran["verdict"], "passed", "{ran:#}");
        let name = ran["scenario"].as_str().unwrap();
        assert!(rig.path("suite").join(name).join("verdict.json").exists(), "{name}");
    }
    let ktap = std::fs::read_to_string(rig.path("suite/ktap.txt")).unwrap();
    let passed = ktap.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(passed, scenarios.len(), "{ktap}");
    let junit = std::fs::read_to_string(rig.path("suite/junit.xml")).unwrap();
    assert_eq!(junit.matches("<testcase").count(), scenarios.len(), "{junit}");
}

/// Only runs with another expectation show that a scenario's expectation is looked at: each must fail, by a check and not
/// by an accident. Those of `night` alone take minutes each.
#[test]
fn every_scenario_fails_when_it_expects_something_else() {
    let _machine = one_machine();
    let rig = Rig::default();
    let all = rig.go(&["list", "--tag", "full", "--json"]).json(0);
    for scenario in all.as_array().unwrap() {
        let name = scenario["name"].as_str().unwrap();
        if scenario["expect"]["verdict"] != "passed" {
            // A broken invariant ends the run, so that no update is there to be looked at.
            let file = expecting_a_pass(&rig, name);
            rig.go(&["run", file.to_str().unwrap(), "--json"]).expect(1);
            continue;
        }
        if scenario["userspace"]["brings"].is_array() {
            // Without what is brought there is nothing to run; with it, this is for the person who has it.
            rig.go(&["run", name]).expect(77);
            continue;
        }
        if ["hw", "client"].iter().any(|table| scenario[table].is_array()) {
            let verdict = rig.go(&["run", expecting_another_exit(&rig, name).to_str().unwrap(), "--json"]).json(1);
            let unmet = verdict["checks"].as_array().unwrap().iter().filter(|check| check["met"] == false);
            let about_the_exit = |check: &Value| check["expected"].as_str().is_some_and(|text| text == "exit code 9");
            assert!(unmet.clone().any(about_the_exit), "{name}: {verdict:#}");
            continue;
        }
        if scenario["updates"] == 0 && scenario["expect"]["update"] == "updated" {
            // There is no update to expect anything of.
            let verdict = rig.go(&["run", expecting_words(&rig, name).to_str().unwrap(), "--json"]).json(1);
            let unmet = verdict["checks"].as_array().unwrap().iter().filter(|check| check["met"] == false);
            assert_eq!(unmet.map(|check| &check["name"]).collect::<Vec<_>>(), ["kernel log"], "{name}: {verdict:#}");
            continue;
        }
        let update = scenario["expect"]["update"].as_str().unwrap();
        let file = with_expectation(&rig, name, inverted(update));
        let verdict = rig.go(&["run", file.to_str().unwrap(), "--json"]).json(1);
        let checks = verdict["checks"].as_array().unwrap();
        let unmet: Vec<&Value> = checks.iter().filter(|check| check["met"] == false).map(|c| &c["name"]).collect();
        let about_the_update = |name: &&Value| ["last update", "update interface"].iter().any(|n| *name == n);
        assert!(unmet.iter().any(about_the_update), "{name}: {verdict:#}");
    }
}

/// A copy of the scenario that expects all invariants to hold.
fn expecting_a_pass(rig: &Rig, name: &str) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(path).unwrap();
    let other = |line: &&str| !["verdict = ", "broken = "].iter().any(|key| line.starts_with(key));
    rig.file(&format!("{name}.toml"), text.lines().filter(other).collect::<Vec<_>>().join("\n"))
}

/// A copy of the scenario whose programs in the guest are to end as none does.
fn expecting_another_exit(rig: &Rig, name: &str) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(path).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with("code = "));
    let other: Vec<&str> = lines
        .flat_map(|line| [Some(line), ["[[hw]]", "[[client]]"].contains(&line).then_some("code = 9")])
        .flatten()
        .collect();
    rig.file(&format!("{name}.toml"), other.join("\n"))
}

/// A copy of the scenario that expects words which no kernel says.
fn expecting_words(rig: &Rig, name: &str) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(!text.contains("expect"), "{name} has expectations of its own, to be inverted");
    rig.file(&format!("{name}.toml"), format!("expect.console = [\"no kernel says this\"]\n{text}"))
}

/// A copy of the scenario that expects this of its last update.
fn with_expectation(rig: &Rig, name: &str, update: &str) -> std::path::PathBuf {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(format!("{name}.toml"));
    let text = std::fs::read_to_string(path).unwrap();
    // As text, because statuses are larger than the integers of a TOML value.
    let mut lines: Vec<String> =
        text.lines().filter(|line| !line.starts_with("update = \"")).map(str::to_owned).collect();
    let at = lines.iter().position(|line| line == "[expect]").unwrap_or_else(|| {
        lines.push("[expect]".into());
        lines.len() - 1
    });
    lines.insert(at + 1, format!("update = {update:?}"));
    rig.file(&format!("{name}.toml"), lines.join("\n"))
}

/// Only a suite that is interrupted shows that it stops before its next scenario, tells what was not run, and keeps what was.
#[test]
fn ctrl_c_ends_a_suite_with_its_reports() {
    let _machine = one_machine();
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
    let ended = Ended::from(child.wait_with_output().unwrap());
    ended.expect(5).says(&["interrupted", "were not run"]);
    assert!(rest.lines().count() < 8, "it went on: {rest}");
    let ktap = std::fs::read_to_string(rig.path("suite/ktap.txt")).unwrap();
    assert!(ktap.lines().any(|line| line.starts_with("ok 1 ")), "{ktap}");
}

/// A name that is none is a mistake of usage, and the nearest is named.
#[test]
fn a_scenario_that_is_not_there_is_told() {
    let ended = Rig::default().go(&["run", "shutdown-bussy"]);
    ended.expect(2).says(&["no scenario", "shutdown-bussy"]);
    assert!(ended.stderr.contains("shutdown-busy`"), "{ended}");
}

/// An old suite's evidence is not mixed with a new one's.
#[test]
fn a_suite_folder_is_used_once() {
    let rig = Rig::default();
    rig.file("evidence", "");
    let folder = rig.path(".");
    rig.go(&["suite", "--out", folder.to_str().unwrap()]).expect(2).says(&["not empty"]);
}
