//! The program for real TDX hosts, rehearsed in the emulated one.

use rig_hw::{Account, account};
use rig_judge::timeline::{EventsReader, Leaf};
use rig_tests::{Rig, share_host};
use rstest::rstest;
use std::path::Path;

fn accounts(events: &Path) -> Vec<Account> {
    let reader = EventsReader::open(events).unwrap();
    let setup = reader.setup().clone();
    account(&setup, reader.map(Result::unwrap))
}

/// Only one update that both have recorded shows that kprobes see what the emulator sees: what each CPU does, in its order; every
/// acknowledgement with its number, in their order; the states; and the calls that a lock puts in a row.
#[rstest]
#[case::update("hw-update", 1)]
#[case::stress("hw-stress", 5)]
fn both_timelines_agree(#[case] scenario: &str, #[case] updates: usize) {
    let _host = share_host();
    let rig = Rig::default();
    rig.go(&["run", scenario, "--keep", "--json", "--out", "run"]).json(0);
    let emulator = accounts(&rig.path("run/events.bin"));
    let kprobes = accounts(&rig.path("run/hw-1-events.bin"));
    assert_eq!((emulator.len(), kprobes.len()), (updates, updates));
    for (number, (theirs, ours)) in emulator.iter().zip(&kprobes).enumerate() {
        assert_eq!(ours.acknowledgements.len(), 4 * 5, "update {number}: {ours:#?}");
        assert_eq!(ours.acknowledgements, theirs.acknowledgements, "update {number}");
        assert_eq!(ours.states, theirs.states, "update {number}");
        assert_eq!(ours.serial_calls, theirs.serial_calls, "update {number}");
        for (cpu, steps) in &theirs.cpus {
            assert_eq!(&ours.cpus[cpu], steps, "update {number}, CPU {cpu}");
        }
        let installs = ours.serial_calls.iter().filter(|(_, leaf)| *leaf == Leaf::INSTALL).count();
        assert_eq!(installs, 4);
    }
}

/// Only a machine whose module is really gone shows that the program says so, and that it then refuses everything.
#[rstest]
#[case("hw-lost")]
#[case("hw-shutdown-busy")]
#[case("hw-used-up")]
fn failures_are_reported(#[case] scenario: &str) {
    let _host = share_host();
    let verdict = Rig::default().go(&["run", scenario, "--json"]).json(0);
    let checks = verdict["checks"].as_array().unwrap();
    assert!(checks.len() > 3 && checks.iter().all(|check| check["met"] == true), "{verdict:#}");
}

/// Only the program's own output shows that its verdict is a verdict like any other.
#[test]
fn its_evidence_is_that_of_a_run() {
    let _host = share_host();
    let rig = Rig::default();
    rig.go(&["run", "hw-update", "--json", "--out", "run"]).json(0);
    let text = std::fs::read(rig.path("run/hw-1-verdict.json")).unwrap();
    let verdict: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert_eq!((verdict["verdict"].as_str(), verdict["backend"]["name"].as_str()), (Some("passed"), Some("hw")));
    for name in
        ["participation", "lockstep", "lead-only", "interrupts-off", "serial-loader", "progress", "quiet-kernel"]
    {
        assert_eq!(verdict["invariants"][name], "held", "{name}: {verdict:#}");
    }
    for name in ["preservation", "concurrency"] {
        assert_eq!(verdict["invariants"][name], "not-applicable", "{name}: {verdict:#}");
    }
    // The offline oracle has the same result from what the probes recorded.
    let again = rig.go(&["check", "run/hw-1-events.bin", "--json"]).json(0);
    assert_eq!(again["invariants"]["lockstep"], "held");
    assert!(std::fs::read_to_string(rig.path("run/hw-1-ktap.txt")).unwrap().starts_with("KTAP version 1"));
    assert!(std::fs::read_to_string(rig.path("run/hw-1-junit.xml")).unwrap().contains("<testsuite"));
}
