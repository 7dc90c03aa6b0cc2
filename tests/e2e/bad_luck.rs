//! Bad luck while a machine runs: no orphan, no half-written entry, the logs are kept, and the exit code says what it was.

use rig_tests::{Rig, processes, take_host};
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// A scenario in which the first SEAMCALL of the boot never returns.
const STUCK: &str = "name = \"stuck\"\n[[faults]]\nleaf = \"TDH.SYS.INIT\"\naction = \"never-returns\"\n";

fn scenario(rig: &Rig, text: &str) -> PathBuf {
    rig.file("scenario.toml", text)
}

fn eventually(what: &str, limit: Duration, mut holds: impl FnMut() -> bool) {
    let start = Instant::now();
    while !holds() {
        assert!(start.elapsed() < limit, "{what}: not within {limit:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// A kernel without an init panics: the verdict distinguishes that from a hang and from a fault of the rig.
#[test]
fn a_guest_that_panics_is_reported_as_a_crash() {
    let _host = take_host();
    let rig = Rig::default();
    let path = scenario(&rig, "name = \"panic\"\nkernel_arguments = \"rdinit=/nowhere init=/nowhere\"\n");
    let verdict = rig.go(&["run", path.to_str().unwrap(), "--json", "--out", "evidence"]).json(4);
    assert_eq!(verdict["verdict"], "guest-crashed", "{verdict:#}");
    let console = std::fs::read_to_string(rig.path("evidence/console.log")).unwrap();
    assert!(console.contains("Kernel panic"), "{console}");
}

/// Firmware that never returns at boot: no agent, no progress, and a diagnosis that names the CPU and the SEAMCALL.
#[test]
fn a_guest_that_never_becomes_ready_is_reported_as_a_hang() {
    let _host = take_host();
    let rig = Rig::default();
    let path = scenario(&rig, &format!("{STUCK}[budget]\nstall_cpu_s = 3\n"));
    let finished = rig.go(&["run", path.to_str().unwrap(), "--cold", "--json", "--out", "evidence"]);
    let verdict = finished.json(3);
    assert_eq!(verdict["verdict"], "hung", "{verdict:#}");
    assert!(rig.path("evidence/console.log").exists());
}

fn start_stuck(rig: &Rig) -> Child {
    let path = scenario(rig, STUCK);
    // Cold, or a snapshot would be tried first, and the guest be stuck there until its budget is used up.
    let mut command = rig.command(&["run", path.to_str().unwrap(), "--cold", "--out", "evidence"]);
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    eventually("QEMU starts", Duration::from_secs(300), || !qemu_of(rig).is_empty());
    child
}

/// QEMU processes of this rig's run folder.
fn qemu_of(rig: &Rig) -> Vec<u32> {
    processes(&rig.path("evidence").display().to_string())
        .into_iter()
        .filter(|pid| {
            let line = std::fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            String::from_utf8_lossy(&line).contains("-accel")
        })
        .collect()
}

fn send(child: &Child, signal: i32) {
    let sent = std::process::Command::new("kill").arg(format!("-{signal}")).arg(child.id().to_string()).status();
    assert!(sent.expect("kill is there").success());
}

/// A host that stands still is no hang of the guest's, and what the guest says of it afterwards is no fault of the kernel's.
#[test]
#[ignore = "QEMU stands still for 10 s"]
fn a_qemu_that_is_stopped_is_the_hosts_trouble() {
    let _host = take_host();
    let rig = Rig::default();
    let child = start_stuck(&rig);
    let checked = || rig.go(&["check", "evidence", "--json"]).json(5);
    eventually("the guest boots", Duration::from_secs(30), || checked()["events"].as_u64() > Some(0));
    let qemu = qemu_of(&rig)[0].to_string();
    assert!(std::process::Command::new("kill").args(["-STOP", &qemu]).status().unwrap().success());
    let start = Instant::now();
    let finished = rig_tests::Finished::from(child.wait_with_output().unwrap());
    finished.expect(5).says(&["the host stood still", "SIGSTOP"]);
    assert!(start.elapsed() < Duration::from_secs(60), "took {:?}", start.elapsed());
    assert!(qemu_of(&rig).is_empty(), "an orphan is left");
}

/// `kill -9` gives the rig no chance to clean up; the kernel has to do it.
#[test]
fn killing_the_rig_leaves_no_qemu() {
    let _host = take_host();
    let rig = Rig::default();
    let mut child = start_stuck(&rig);
    send(&child, 9);
    child.wait().unwrap();
    eventually("QEMU dies with the rig", Duration::from_secs(10), || qemu_of(&rig).is_empty());
}

/// What had happened until then can still be looked at: the machine's events are in the file. It is no pass, since it
/// is not known what became of the run.
#[test]
fn killing_the_rig_leaves_events_that_can_be_judged() {
    let _host = take_host();
    let rig = Rig::default();
    let mut child = start_stuck(&rig);
    let checked = || rig.go(&["check", "evidence", "--json"]).json(5);
    eventually("events are on disk", Duration::from_secs(30), || checked()["events"].as_u64() > Some(0));
    send(&child, 9);
    child.wait().unwrap();
    let checked = checked();
    assert_eq!((&checked["cut_short"], &checked["verdict"]), (&true.into(), &"not-judged".into()), "{checked:#}");
    assert_eq!(checked["invariants"]["lockstep"], "not-applicable", "{checked:#}");
}

/// Once is orderly: the verdict is written, and says that it was interrupted.
#[test]
fn ctrl_c_once_is_orderly() {
    let _host = take_host();
    let rig = Rig::default();
    let child = start_stuck(&rig);
    send(&child, 2);
    let finished = rig_tests::Finished::from(child.wait_with_output().unwrap());
    assert_ne!(finished.code, 0, "{finished}");
    assert!(qemu_of(&rig).is_empty(), "an orphan is left");
    let verdict =
        std::fs::read_to_string(rig.path("evidence/verdict.json")).unwrap_or_else(|e| panic!("{e}: {finished}"));
    assert!(verdict.contains("interrupt"), "{verdict}");
}

/// Twice is at once.
#[test]
fn ctrl_c_twice_is_at_once() {
    let _host = take_host();
    let rig = Rig::default();
    let mut child = start_stuck(&rig);
    send(&child, 2);
    std::thread::sleep(Duration::from_millis(20));
    // The first may have been enough already.
    let _ = std::process::Command::new("kill").arg("-2").arg(child.id().to_string()).status();
    let start = Instant::now();
    let status = child.wait().unwrap();
    assert!(!status.success());
    assert!(start.elapsed() < Duration::from_secs(4), "took {:?}", start.elapsed());
    eventually("QEMU dies with the rig", Duration::from_secs(5), || qemu_of(&rig).is_empty());
}
