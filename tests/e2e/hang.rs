//! A hang is reported as a hang: within its budget, with the CPU that does not come, and with where it stands.

use rig_images::{Images, KernelRequest, Progress, SourceEdit};
use rig_tests::{Rig, take_host};
use rstest::rstest;
use serde_json::Value;

/// What the diagnosis says of a CPU.
fn cpu(verdict: &Value, lp: u64) -> &Value {
    let cpus = verdict["diagnosis"]["cpus"].as_array().unwrap_or_else(|| panic!("no diagnosis: {verdict:#}"));
    cpus.iter().find(|cpu| cpu["lp"] == lp).unwrap_or_else(|| panic!("CPU {lp} is not named: {verdict:#}"))
}

fn stack_has(cpu: &Value, function: &str) -> bool {
    let frames = cpu["stack"].as_array().expect("a CPU has a stack");
    frames.iter().any(|frame| frame.as_str().is_some_and(|frame| frame.contains(function)))
}

/// Only a real guest has stacks to read, and only one that hangs in the section shows that the CPU inside the firmware is
/// distinguished from those that wait for its acknowledgement.
#[rstest]
#[case::before_the_loader_is_done("SEAMLDR.INSTALL", "INSTALL", 1)]
#[case::while_a_cpu_is_initialised("TDH.SYS.LP.INIT", "LP.INIT", 2)]
fn a_cpu_that_never_acknowledges_is_named_with_its_stack(#[case] leaf: &str, #[case] position: &str, #[case] nth: u32) {
    let _host = take_host();
    let rig = Rig::default();
    let fault = format!("{{ leaf = \"{leaf}\", lp = 2, nth = {nth}, action = \"never-returns\" }}");
    let text = format!("name = \"silent-cpu\"\nfaults = [{fault}]\nbudget.stall_cpu_s = 3\n");
    let path = rig.file("scenario.toml", text);
    let verdict = rig.go(&["run", path.to_str().unwrap(), "--json", "--out", "evidence"]).json(3);
    assert_eq!(verdict["verdict"], "hung", "{verdict:#}");
    let silent = cpu(&verdict, 2);
    assert!(silent["position"].as_str().is_some_and(|p| p.contains(position)), "{silent:#}");
    assert!(stack_has(silent, "do_seamldr_install_module"), "{silent:#}");
    let waiting = cpu(&verdict, 0);
    assert!(stack_has(waiting, "multi_cpu_stop") && waiting["position"] != silent["position"], "{waiting:#}");
}

/// Only a kernel in which two tasks wait for each other for ever, and no CPU for anything, shows that a hang is seen
/// although the guest is idle, and that the tasks are named. This one takes the lock of CPU hotplug for reading twice. A
/// CPU that comes or goes in between waits for the first, and the second waits for that CPU.
#[test]
fn a_deadlock_in_which_all_cpus_sleep_is_reported_with_the_stacks_of_blocked_tasks() {
    let _host = take_host();
    let seamldr = "arch/x86/virt/vmx/tdx/seamldr.c";
    let twice = "cpus_read_lock();\n\tschedule_timeout_uninterruptible(HZ / 4);\n\tcpus_read_lock();";
    let edits = [("cpus_read_lock();", twice), ("cpus_read_unlock();", "cpus_read_unlock();\n\tcpus_read_unlock();")];
    let edits = edits.map(|(from, to)| SourceEdit::literal(seamldr, from, to));
    let images = Images::open(Progress::silent()).expect("the cache opens");
    let kernel = images.kernel(&KernelRequest::edited(edits.to_vec())).expect("the edited kernel builds");
    let tree = kernel.tree.expect("a built kernel has its tree");
    let rig = Rig::default();
    let finished = rig.go(&["run", "hotplug-storm", "--json", "--kernel", tree.to_str().unwrap()]);
    let verdict = finished.json(3);
    assert!(verdict["timing_ms"]["total"].as_u64().is_some_and(|ms| ms < 60_000), "{verdict:#}");
    assert!(verdict["reason"].as_str().is_some_and(|why| why.contains("blocked")), "{verdict:#}");
    let tasks = verdict["diagnosis"]["tasks"].as_array().unwrap_or_else(|| panic!("no tasks: {verdict:#}"));
    assert!(tasks.iter().any(|task| stack_has(task, "seamldr_install_module")), "{tasks:#?}");
    assert!(tasks.iter().any(|task| task["name"] == "hotplug"), "{tasks:#?}");
}
