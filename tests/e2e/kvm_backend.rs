//! The KVM backend: a shim in the guest, a mailbox, and the rig as the firmware's host; with KVM where it works, and without it.

use rig_tests::{Finished, HELD, Rig, take_host};
use serde_json::Value;

fn run(scenario: &str) -> Finished {
    let rig = Rig::default();
    let text = format!("name = \"shim\"\nsubject = \"kmod\"\nbackend = \"tcg-shim\"\n{scenario}\n");
    let path = rig.file("scenario.toml", text);
    rig.go(&["run", path.to_str().unwrap(), "--json"])
}

fn held(verdict: &Value) -> Vec<&str> {
    let all = verdict["invariants"].as_object().unwrap();
    all.iter().filter(|(_, standing)| *standing == "held").map(|(name, _)| name.as_str()).collect()
}

/// The way of KVM's guests, without KVM: what the module reports of itself is enough for the judge.
#[test]
fn an_update_behind_the_shim_shows_all_invariants_that_can_be_observed() {
    let _host = take_host();
    // The first one makes the snapshot, the second one finds it.
    for _ in 0..2 {
        let verdict = run("updates = 3").json(0);
        assert_eq!(verdict["backend"]["name"], "tcg-shim");
        let held = held(&verdict);
        assert!(HELD.iter().all(|name| held.contains(name)), "{verdict:#}");
    }
}

/// SEAMCALLs in threads, timer interrupts and IPIs all come through one slot of their CPU.
#[test]
fn seamcalls_from_every_context_are_served() {
    let _host = take_host();
    let load = "load = [{ profile = \"seamcall\" }]\nupdates = 3\n\
        platform.durations.leaf_ns = { \"TDH.SYS.RD\" = 20000, \"TDH.PHYMEM.PAGE.RDMD\" = 20000 }";
    assert!(held(&run(load).json(0)).contains(&"concurrency"));
}

/// Faults strike, and a CPU is held at a SEAMCALL until another has passed it.
#[test]
fn faults_and_holds_work_as_they_do_with_the_plugin() {
    let _host = take_host();
    let fault = "faults = [{ leaf = \"SEAMLDR.INSTALL\", lp = 2, action = { status = 0x8000000000010003 } }]\n\
        expect = { update = \"lost\", update_error = \"firmware-invalid\" }";
    run(fault).json(0);
    let hold = "hold = [{ cpu = 2, at = \"seamcall:TDH.SYS.LP.INIT:enter\", until = { cpu = 1, passes = \
        \"seamcall:TDH.SYS.LP.INIT:exit\" }, limit_ms = 5000 }]";
    assert_eq!(run(hold).json(0)["holds"][0]["end"], "satisfied");
}

/// The judge is not blind without the plugin.
#[test]
fn twins_are_caught_behind_the_shim() {
    let _host = take_host();
    for (twin, broken) in [
        ("double-install", "participation"),
        ("early-advance", "lockstep"),
        ("interrupts-on", "interrupts-off"),
        ("foreign-seamcall", "update-only"),
    ] {
        let verdict = run(&format!("twin = \"{twin}\"\nupdates = 10")).json(1);
        assert_eq!(verdict["breaches"][0]["invariant"], broken, "{twin}: {verdict:#}");
    }
}

/// What KVM cannot do is said before anything is started.
#[test]
fn combinations_that_cannot_work_are_refused() {
    let rig = Rig::default();
    rig.go(&["run", "--backend", "kvm"]).expect(2).says(&["in-tree", "kmod"]);
    let hold = "hold = [{ cpu = 2, at = \"state:3\", until = { time_us = 10 } }]";
    run(hold).expect(2).says(&["SEAMCALLs only", "tcg"]);
}

/// Whatever /dev/kvm is here, a run with `auto` ends with a verdict, and says in one line which backend it chose.
#[test]
fn auto_uses_kvm_only_where_it_boots_something() {
    let _host = take_host();
    let verdict = Rig::default().go(&["run", "--subject", "kmod", "--json"]).json(0);
    let (name, reason) = (&verdict["backend"]["name"], verdict["backend"]["reason"].as_str().unwrap());
    assert!(!reason.contains('\n'), "{reason}");
    match name.as_str().unwrap() {
        "kvm" => assert!(reason.contains("booted a kernel"), "{reason}"),
        "tcg" => assert!(reason.starts_with("KVM does not work here: "), "{reason}"),
        other => panic!("{other}: {reason}"),
    }
}

/// The whole proof on a real KVM: an emulated AMD processor, `kvm_amd` on it, and this rig. Not in every run, since it
/// takes as long as a tenth of all others.
#[test]
#[ignore = "five to seven minutes: cargo test -p rig-tests --test e2e -- --ignored nested"]
fn nested_scenarios_pass_on_a_kvm_that_runs_on_an_emulated_processor() {
    let _host = take_host();
    let verdict = Rig::default().go(&["run", "nested-kvm", "--json"]).json(0);
    let checks = verdict["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["met"] == true), "{verdict:#}");
    let named = |end: &str| checks.iter().filter(|check| check["name"].as_str().unwrap().ends_with(end)).count();
    // Six scenarios say which invariants must be held, and two twins are caught.
    assert_eq!((named(": held"), named("backend")), (6, 1), "{verdict:#}");
    assert!(["twin-double-install", "twin-early-advance"].iter().all(|twin| named(twin) == 1), "{verdict:#}");
}
