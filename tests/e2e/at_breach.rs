//! A machine that is left stopped where an invariant broke, and gdb in it.

use rig_images::{Images, KernelRequest, Progress, SourceEdit};
use rig_tests::{Finished, Rig, take_host};
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

const SEAMLDR: &str = "arch/x86/virt/vmx/tdx/seamldr.c";

/// A kernel that advances one acknowledgement early, as in `busted_kernel.rs`, where it is built anyway.
fn busted() -> String {
    let early = SourceEdit::literal(
        SEAMLDR,
        "ctrl->num_ack == num_online_cpus() &&",
        "ctrl->num_ack == num_online_cpus() - 1 &&",
    );
    let images = Images::open(Progress::silent()).expect("the cache opens");
    let kernel = images.kernel(&KernelRequest::edited(vec![early])).expect("the edited kernel builds");
    kernel.tree.expect("a built kernel has its tree").display().to_string()
}

/// Only a debugger in the stopped machine shows that it is stopped, that its symbols are right, and that the words are those of
/// the update that broke the invariant.
#[test]
fn gdb_prints_the_words_of_the_update_that_broke_an_invariant() {
    if Command::new("gdb").arg("--version").output().is_err() {
        println!("skipped: there is no gdb here (Debian has it: apt install gdb)");
        return;
    }
    let (_host, rig, kernel) = (take_host(), Rig::default(), busted());
    let words = ["run", "--kernel", &kernel, "--out", "run", "--stop-at-breach", "--keep-s", "300"];
    let mut child = rig.command(&words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the rig starts");
    let mut said = BufReader::new(child.stderr.take().expect("it is piped")).lines();
    let is_invitation = |line: &String| line.trim_start().starts_with("gdb -x ");
    let invitation = said.by_ref().map_while(Result::ok).find(is_invitation).expect("the rig says how to use gdb");
    let script = invitation.trim().strip_prefix("gdb -x ").expect("it is one").to_owned();
    let gdb = ["-nx", "-batch", "-x", &script, "-ex", "x/3xw &update_ctrl", "-ex", "info symbol &update_ctrl"];
    let gdb = Finished::from(Command::new("gdb").args(gdb).output().expect("gdb starts"));
    println!("{gdb}");
    let rest = std::thread::spawn(move || said.map_while(Result::ok).collect::<Vec<_>>().join("\n"));
    let interrupted = Command::new("kill").args(["-INT", &child.id().to_string()]).status();
    assert!(interrupted.expect("kill starts").success());
    let ended = child.wait().expect("the rig ends");
    let rest = rest.join().expect("its words are read");
    // The state, then the acknowledgements: three CPUs of four were enough.
    for words in ["update_ctrl.state = ", "update_ctrl.num_ack = ", "<update_ctrl>:", "update_ctrl in section .bss"] {
        assert!(gdb.stdout.contains(words), "{words}: {gdb}");
    }
    assert!(gdb.stdout.contains("CPU#3") || gdb.stdout.contains("Thread 1.4"), "all CPUs are threads: {gdb}");
    assert_eq!(ended.code(), Some(1), "{rest}");
    let verdict = std::fs::read(rig.path("run/verdict.json")).expect("the run has its verdict");
    let verdict: serde_json::Value = serde_json::from_slice(&verdict).expect("it is JSON");
    assert_eq!(verdict["invariants"]["lockstep"], "broken", "{verdict:#}");
}

/// The twin: where nothing breaks nothing is left standing, and the run passes as ever.
#[test]
fn a_machine_in_which_nothing_broke_is_not_left_standing() {
    let _host = take_host();
    let rig = Rig::default();
    let finished = rig.go(&["run", "--stop-at-breach", "--keep-s", "1"]);
    assert!(finished.expect(0).stderr.contains("nothing broke while the machine ran"), "{finished}");
}
