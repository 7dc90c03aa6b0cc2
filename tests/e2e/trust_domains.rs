//! Trust domains: a guest builds, runs and ends them by raw SEAMCALLs while its TDX module is updated. What an update spoils is
//! caught.

use rig_tests::{Rig, share_host};
use rstest::rstest;
use serde_json::Value;

/// Invariants that a scenario which succeeds cannot break: no CPU fails in it.
const NOT_OBSERVED: &str = "stop-on-failure";

fn run(name: &str) -> Value {
    Rig::default().go(&["run", name, "--json"]).json(0)
}

fn load<'a>(verdict: &'a Value, name: &str) -> &'a Value {
    let loads = verdict["load"].as_array().unwrap_or_else(|| panic!("no loads: {verdict:#}"));
    let found = loads.iter().find(|load| load["name"] == name);
    &found.unwrap_or_else(|| panic!("no load {name}: {verdict:#}"))["counts"]
}

fn count(verdict: &Value, name: &str, what: &str) -> u64 {
    load(verdict, name)[what].as_u64().unwrap_or_else(|| panic!("{name} reports no {what}: {verdict:#}"))
}

fn expectation_met<'a>(verdict: &'a Value, of: &str, seen: &str) -> Option<&'a Value> {
    let checks = verdict["checks"].as_array()?;
    checks.iter().find(|check| check["name"] == of && check["seen"] == seen && check["met"] == true)
}

/// Only a real guest shows that a TD which the kernel knows nothing of lives through the kernel's update: it is the same
/// before and after by the firmware's digest, its virtual CPUs run on, and what they compute is what was predicted.
#[test]
fn a_td_lives_through_updates_and_computes_on() {
    let _host = share_host();
    let verdict = run("td-run-raw");
    assert_eq!(verdict["invariants"]["preservation"], "held", "{verdict:#}");
    assert_eq!(verdict["updates"], 3, "{verdict:#}");
    assert!(expectation_met(&verdict, "load trust-domain", "as predicted").is_some(), "{verdict:#}");
    assert!(expectation_met(&verdict, "load trust-domain", "no failure").is_some(), "{verdict:#}");
    for what in ["entries", "rounds", "halts", "faults", "moves"] {
        assert!(count(&verdict, "trust-domain", what) > 0, "{what}: {verdict:#}");
    }
}

/// The busted twins: firmware that spoils a TD while it takes over.
#[rstest]
#[case::one_bit_of_a_page("flip-bit")]
#[case::a_virtual_cpus_registers("forget-registers")]
#[case::its_keyid("drop-keyid")]
fn a_td_that_an_update_spoils_is_caught(#[case] corruption: &str) {
    let _host = share_host();
    let rig = Rig::default();
    let fault = format!("{{ leaf = \"TDH.SYS.UPDATE\", action = {{ corrupt-td = \"{corruption}\" }} }}");
    let load = "[[load]]\nprofile = \"trust-domain\"\ntds = 1\nvcpus = 1\n";
    let path = rig.file("scenario.toml", format!("name = \"spoiled\"\nfaults = [{fault}]\n{load}"));
    let verdict = rig.go(&["run", path.to_str().unwrap(), "--json"]).json(1);
    assert_eq!(verdict["invariants"]["preservation"], "broken", "{verdict:#}");
    let broken = verdict["breaches"].as_array().unwrap();
    assert!(broken.iter().all(|breach| breach["invariant"] == "preservation"), "{verdict:#}");
    assert!(broken[0]["events"].as_array().is_some_and(|events| events.len() >= 2), "{verdict:#}");
}

/// Every invariant that a good update can break was judged, under load, and held.
#[rstest]
#[case::on_4_cpus("plain-loaded")]
#[case::on_16_cpus("plain-loaded-16")]
fn every_invariant_is_held_under_load(#[case] scenario: &str) {
    let _host = share_host();
    let verdict = run(scenario);
    let invariants = verdict["invariants"].as_object().unwrap();
    assert_eq!(invariants.len(), 12, "{verdict:#}");
    for (name, finding) in invariants {
        let expected = if name == NOT_OBSERVED { "not-applicable" } else { "held" };
        assert_eq!(finding, expected, "{name}: {verdict:#}");
    }
    for context in ["process", "timer", "ipi"] {
        assert!(count(&verdict, "seamcall", &format!("{context}.success")) > 0, "{verdict:#}");
        assert_eq!(count(&verdict, "seamcall", &format!("{context}.torn")), 0, "{verdict:#}");
    }
}

/// The twelfth is judged when a CPU fails.
#[rstest]
#[case::on_4_cpus("failure-loaded")]
#[case::on_16_cpus("failure-loaded-16")]
fn a_cpu_that_fails_under_load_stops_all(#[case] scenario: &str) {
    let _host = share_host();
    let verdict = run(scenario);
    for (name, finding) in verdict["invariants"].as_object().unwrap() {
        assert_eq!(finding, "held", "{name}: {verdict:#}");
    }
}
