//! How many schedules it takes to find a race, by strategy, and whether what was found comes back. Writes the table of
//! docs/how-to/races.md. `cargo bench -p rig-tests --bench tries [-- REPLAYS SUBJECT...]`, where a subject is a twin or
//! `kernel`.

use rig_images::{Images, KernelRequest, Progress, SourceEdit};
use rig_tests::Rig;
use serde_json::Value;
use std::path::Path;

/// Errors of the update module that depend on timing: each is right if the CPUs happen to go the right way.
const TWINS: [&str; 6] =
    ["early-advance", "late-reset", "lost-ack", "ack-before-work", "no-loader-lock", "no-hotplug-lock"];
/// The scenario for the last of them: it errs only while a CPU comes online.
const ARRIVAL: &str = "name = \"arrival\"\nload = [{ profile = \"cpu-arrival\" }]\n";
/// How a seed becomes a schedule.
const STRATEGIES: [&str; 3] = ["blind", "delays", "priorities"];
/// Schedules after which a strategy has not found it.
const MOST: &str = "0..100";

fn main() {
    let replays = std::env::args().find_map(|a| a.parse().ok()).unwrap_or(100_u32).to_string();
    println!(
        "| subject | blind | delays | priorities | the same, deterministic: blind | delays | priorities | replay of the last: failed, \
         digests | shrunk to |"
    );
    println!("|{}", " --- |".repeat(9));
    let asked: Vec<String> =
        std::env::args().skip(1).filter(|a| !a.starts_with("--") && a.parse::<u32>().is_err()).collect();
    let is_asked = |name: &str| asked.is_empty() || asked.iter().any(|asked| asked == name);
    for twin in TWINS.into_iter().filter(|twin| is_asked(twin)) {
        let scenario = (twin == "no-hotplug-lock").then_some(ARRIVAL);
        let target = ["--subject", "kmod", "--twin", twin].map(str::to_owned);
        println!("{}", row(&format!("`{twin}`"), scenario, &target, &replays));
    }
    if is_asked("kernel") {
        println!("{}", row("kernel without the lock", None, &["--kernel".to_owned(), unlocked()], &replays));
    }
}

/// The kernel without the lock around its acknowledgement.
fn unlocked() -> String {
    let literal = |from: &str| SourceEdit::literal("arch/x86/virt/vmx/tdx/seamldr.c", from, "");
    let edits = vec![literal("raw_spin_lock(&ctrl->lock);"), literal("raw_spin_unlock(&ctrl->lock);")];
    let images = Images::open(Progress::silent()).expect("the cache opens");
    let kernel = images.kernel(&KernelRequest::edited(edits)).expect("the edited kernel builds");
    kernel.tree.expect("a built kernel has its tree").display().to_string()
}

fn row(name: &str, scenario: Option<&str>, target: &[String], replays: &str) -> String {
    let rig = Rig::default();
    let scenario = scenario.map(|text| rig.file("scenario.toml", text).display().to_string());
    let mut cells = vec![name.to_owned()];
    let mut found = None;
    for clock in ["parallel", "deterministic"] {
        for strategy in STRATEGIES {
            let said = explore(&rig, scenario.as_deref(), target, clock, strategy);
            cells.push(tries(&said));
            if clock == "deterministic" {
                found = run_of(&rig, &said, &format!("{clock}-{strategy}")).or(found);
            }
        }
    }
    match found {
        Some(run) => cells.extend([replay(&rig, target, &run, replays), shrink(&rig, target, &run)]),
        None => cells.extend(["-".to_owned(), "-".to_owned()]),
    }
    format!("| {} |", cells.join(" | "))
}

fn explore(rig: &Rig, scenario: Option<&str>, target: &[String], clock: &str, strategy: &str) -> Value {
    let out = format!("{clock}-{strategy}");
    let more = ["--stop-on-first", "--workers", "1", "--clock", clock, "--strategy", strategy, "--out", &out, "--json"];
    let target = scenario.into_iter().chain(target.iter().map(String::as_str));
    let arguments: Vec<&str> = ["explore", "--seeds", MOST].into_iter().chain(more).chain(target).collect();
    let finished = rig.go(&arguments);
    assert!([0, 1].contains(&finished.code), "{finished}");
    serde_json::from_str(&finished.stdout).expect("the rig writes JSON")
}

fn tries(said: &Value) -> String {
    said["summary"]["tries_to_first_failure"]
        .as_u64()
        .map_or_else(|| "none in 100".to_owned(), |tries| tries.to_string())
}

fn run_of(rig: &Rig, said: &Value, out: &str) -> Option<String> {
    let run = said["failed"][0]["run"].as_str()?;
    Some(rig.path(out).join(Path::new(run)).display().to_string())
}

fn replay(rig: &Rig, target: &[String], run: &str, times: &str) -> String {
    let more = ["replay", run, "--times", times, "--out", "replay", "--json"];
    let arguments: Vec<&str> = more.into_iter().chain(target.iter().map(String::as_str)).collect();
    let said = rig.go(&arguments).json(1);
    let digests = said["digests"].as_array().map_or(0, Vec::len);
    let matches = if said["digest_as_recorded"] == true { "as recorded" } else { "not as recorded" };
    format!("{} of {}, {digests} digest, {matches}", said["failed"], said["runs"])
}

fn shrink(rig: &Rig, target: &[String], run: &str) -> String {
    let more = ["shrink", run, "--out", "shrunk.toml", "--json"];
    let arguments: Vec<&str> = more.into_iter().chain(target.iter().map(String::as_str)).collect();
    let said = rig.go(&arguments).json(0);
    format!("{} holds on {} CPUs", said["holds"], said["cpus"])
}
