//! The files in `docs/ci` and `docs/slurm`, by which other test systems run the rig, parse and name only what exists. What a
//! system makes of its file is tried by hand with that system (docs/how-to/ci.md).

use super::documents::{rig_words, root, unknown};
use crate::scenario::catalogue;
use crate::suite::{self, tests::example};
use crate::trouble::Exit;
use rig_judge::Outcome;
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Command;

/// The files, each with its text.
fn files() -> Vec<(PathBuf, String)> {
    let below = ["docs/ci", "docs/slurm"].map(|folder| walkdir::WalkDir::new(root().join(folder)));
    let entries = below.into_iter().flatten().map(Result::unwrap).filter(|entry| entry.file_type().is_file());
    entries.map(|entry| (entry.path().to_owned(), std::fs::read_to_string(entry.path()).unwrap())).collect()
}

fn yaml(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap();
    serde_saphyr::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn what_is_yaml_parses() {
    let is_yaml = |path: &Path| path.extension().is_some_and(|end| ["yml", "yaml", "fmf"].iter().any(|e| end == *e));
    let parsed: Vec<Value> = files().iter().filter(|(path, _)| is_yaml(path)).map(|(path, _)| yaml(path)).collect();
    assert!(parsed.len() >= 6 && parsed.iter().all(Value::is_object), "{parsed:?}");
    assert!(serde_saphyr::from_str::<Value>("a: [b").is_err());
}

#[test]
fn commands_of_the_rig_exist() {
    let mut count = 0;
    for (path, text) in files() {
        for line in text.replace("\\\n", " ").lines() {
            let Some(words) = rig_words(line) else { continue };
            count += 1;
            if let Some(why) = unknown(&words) {
                panic!("{}: {line}: {why}", path.display());
            }
        }
    }
    assert!(count > 15, "{count}");
    assert!(unknown(&rig_words("command: cargo rig suite --tags quick").unwrap()).is_some());
}

/// The scenario that a line names, if it names one and no variable.
fn scenario_of(line: &str) -> Option<&str> {
    let after = ["cargo rig run ", "rig_scenario = "].iter().find_map(|start| line.split_once(start))?.1;
    after.split_whitespace().next().filter(|word| word.starts_with(|c: char| c.is_ascii_lowercase()))
}

#[test]
fn scenarios_exist() {
    let texts = files();
    let lines = texts.iter().flat_map(|(_, text)| text.lines());
    let names: Vec<&str> = lines.filter_map(scenario_of).collect();
    assert!(names.len() >= 4, "{names:?}");
    for name in names {
        assert!(catalogue::named(name).is_ok(), "{name}");
    }
    assert_eq!(scenario_of("command = cargo rig run {scenario} --out x"), None);
    assert_eq!(scenario_of("    rig_scenario = plian"), Some("plian"));
}

#[test]
fn a_job_has_as_many_shards_as_completions() {
    for name in ["explore", "suite"] {
        let job = yaml(&root().join(format!("docs/ci/kubernetes/{name}.yaml")));
        let variables = job["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
        let count = variables.iter().find(|variable| variable["name"] == "RIG_SHARD_COUNT").unwrap();
        assert_eq!(count["value"], json!(job["spec"]["completions"].to_string()), "{name}");
        assert_eq!(job["spec"]["completionMode"], "Indexed");
    }
}

#[test]
fn the_page_names_each_of_them() {
    let page = std::fs::read_to_string(root().join("docs/how-to/ci.md")).unwrap();
    for entry in root().join("docs/ci").read_dir().unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(page.contains(&format!("docs/ci/{name}")), "{name} is not in the page");
    }
}

#[test]
fn exit_codes_are_the_rigs() {
    let text = std::fs::read_to_string(root().join("docs/ci/avocado/tests/tdx_module_update.py")).unwrap();
    let codes = [Exit::Passed, Exit::Usage, Exit::Environment, Exit::Skipped].map(|exit| (exit as u8).to_string());
    assert!(text.contains(&format!("PASSED, USAGE, RIG_ERROR, SKIPPED = {}\n", codes.join(", "))), "{codes:?}");
    let text = std::fs::read_to_string(root().join("docs/ci/tmt/suite.sh")).unwrap();
    assert!(text.contains(&format!("\n{}) whole=error ;;", Exit::Environment as u8)));
}

/// A suite with one of each outcome.
fn ktap() -> String {
    let outcomes = [
        ("plain", Outcome::Passed),
        ("repeat", Outcome::Xfail),
        ("storm", Outcome::Failed),
        ("own", Outcome::Skipped),
        ("many", Outcome::RigError),
        ("slow", Outcome::Hung),
    ];
    suite::ktap(&outcomes.map(|(name, outcome)| example(name, outcome)))
}

/// Runs a script of `docs/ci` in a folder, with a program that stands in for one of the system's.
fn run(script: &str, arguments: &[&str], folder: &Path, (program, body): (&str, &str)) -> std::process::Output {
    let programs = folder.join("programs");
    std::fs::create_dir(&programs).unwrap();
    std::fs::write(programs.join(program), format!("#!/bin/sh\n{body}\n")).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(programs.join(program), executable).unwrap();
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut command = Command::new("sh");
    command.arg(root().join("docs/ci").join(script)).args(arguments).current_dir(folder);
    command.env("PATH", path).env("SEAMRIG", folder).env("TMT_TEST_DATA", folder).output().unwrap()
}

#[test]
fn tmt_is_told_each_scenario_and_the_whole() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ktap"), ktap()).unwrap();
    let body = "mkdir -p suite/plain && cp ktap suite/ktap.txt && : > suite/plain/report.html; exit 1";
    let output = run("tmt/suite.sh", &[], folder.path(), ("cargo", body));
    assert_eq!(output.status.code(), Some(1), "{output:?}");
    let results = yaml(&folder.path().join("results.yaml"));
    let words = |row: &Value| [&row["name"], &row["result"]].map(|word| word.as_str().unwrap().to_owned());
    let expected = [
        ["/", "fail"],
        ["/plain", "pass"],
        ["/repeat", "pass"],
        ["/storm", "fail"],
        ["/own", "skip"],
        ["/many", "error"],
        ["/slow", "fail"],
    ];
    assert_eq!(results.as_array().unwrap().iter().map(words).collect::<Vec<_>>(), expected);
    assert_eq!(results[1]["log"], json!(["suite/plain/report.html"]));
    assert_eq!((&results[3]["note"], &results[3]["log"]), (&json!(["lockstep: <CPU 1> ran ahead"]), &Value::Null));
}

#[test]
fn tmt_gets_no_results_of_a_suite_that_did_not_begin() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run("tmt/suite.sh", &[], folder.path(), ("cargo", "exit 2")).status.code(), Some(2));
    assert!(!folder.path().join("results.yaml").exists());
}

#[test]
fn lava_is_told_each_scenario() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("ktap"), ktap()).unwrap();
    let output = run("lava/report.sh", &["ktap"], folder.path(), ("lava-test-case", "echo \"$@\""));
    let expected = "plain --result pass\nrepeat --result pass\nstorm --result fail\nown --result skip\n\
                    many --result unknown\nslow --result fail\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected, "{output:?}");
}
