//! The main job: an unmodified kernel updates its TDX module and every invariant is judged.

use flate2::read::GzDecoder;
use rig_tests::{Rig, share_host};
use rstest::rstest;
use serde_json::Value;

/// Invariants that every successful update of the in-tree code must show as held.
const HELD: [&str; 8] = [
    "participation",
    "lockstep",
    "lead-only",
    "update-only",
    "interrupts-off",
    "serial-loader",
    "progress",
    "quiet-kernel",
];

fn assert_passed(verdict: &Value, cpus: u64, updates: u64) {
    assert_eq!(verdict["verdict"], "passed", "{verdict:#}");
    assert_eq!((&verdict["cpus"], &verdict["updates"]), (&cpus.into(), &updates.into()));
    for name in HELD {
        assert_eq!(verdict["invariants"][name], "held", "{name}: {verdict:#}");
    }
    assert_ne!(verdict["module_before"], verdict["module_after"], "{verdict:#}");
    for part in ["boot", "update", "machine", "total"] {
        assert!(verdict["timing_ms"][part].as_u64().is_some_and(|ms| ms > 0), "{part}: {verdict:#}");
    }
}

/// Only a real kernel on real (emulated) CPUs shows that the firmware, the facade and the judge agree with Linux.
#[rstest]
#[case(1)]
#[case(4)]
#[case(16)]
fn the_kernel_updates_its_module(#[case] cpus: u64) {
    let _host = share_host();
    let finished = Rig::default().go(&["run", "--cpus", &cpus.to_string(), "--json"]);
    let verdict = finished.json(0);
    assert_passed(&verdict, cpus, 1);
    assert!(verdict["kernel"].as_str().is_some_and(|k| k.starts_with('7')), "{verdict:#}");
}

/// Only repetition in one guest shows that nothing of an update is left behind for the next.
#[test]
fn five_updates_in_one_guest() {
    let _host = share_host();
    let verdict = Rig::default().go(&["run", "--updates", "5", "--json"]).json(0);
    assert_passed(&verdict, 4, 5);
}

/// The run folder is what a person gets to see of a run.
#[test]
fn a_run_leaves_its_evidence() {
    let _host = share_host();
    let rig = Rig::default();
    let verdict = rig.go(&["run", "--json", "--out", "evidence"]).json(0);
    let folder = rig.path("evidence");
    assert_eq!(
        std::fs::canonicalize(verdict["run_dir"].as_str().unwrap()).unwrap(),
        std::fs::canonicalize(&folder).unwrap()
    );
    for name in ["verdict.json", "events.bin", "console.log", "manifest.json", "plan.json"] {
        let size = std::fs::metadata(folder.join(name)).unwrap_or_else(|e| panic!("{name}: {e}")).len();
        assert!(size > 0, "{name} is empty");
    }
    let kept: Value = serde_json::from_slice(&std::fs::read(folder.join("verdict.json")).unwrap()).unwrap();
    assert_eq!(kept, verdict);
    // The offline oracle has the same result from the recorded events.
    let again = rig.go(&["check", "evidence/events.bin", "--json"]).json(0);
    assert_eq!(again["invariants"], verdict["invariants"]);
    // What is sent to somebody else is judged there, too, and names no kernel of this machine.
    rig.go(&["bundle", "evidence", "--out", "sent.tar.gz"]).expect(0);
    let archive = GzDecoder::new(std::fs::File::open(rig.path("sent.tar.gz")).unwrap());
    tar::Archive::new(archive).unpack(rig.path("elsewhere")).unwrap();
    let there = rig.go(&["check", "elsewhere/evidence", "--json"]).json(0);
    assert_eq!(there["invariants"], verdict["invariants"]);
    let scenario = std::fs::read_to_string(rig.path("elsewhere/evidence/scenario.toml")).unwrap();
    assert!(!scenario.contains("\nkernel =") && scenario.lines().count() < 15, "{scenario}");
    rig.go(&["scenario", "check", "elsewhere/evidence/scenario.toml"]).expect(0);
    let config = std::fs::read_to_string(rig.path("elsewhere/evidence/kernel.config")).unwrap();
    assert!(config.contains("CONFIG_INTEL_TDX_HOST=y"), "the kernel's configuration");
    rig.go(&["bundle", "evidence", "--out", "sent.tar.gz"]).expect(2).says(&["is there already"]);
}
