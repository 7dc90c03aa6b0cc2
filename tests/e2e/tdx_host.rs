//! Programs and scripts in the emulated TDX host.

use rig_tests::{Finished, Rig, binary, take_host};
use std::io::{Read, Write};
use std::process::{Command, Stdio};

/// Only a command in the real machine shows that its words, its output and its exit code go through, and that what it does to
/// the module is recorded.
#[test]
fn a_command_runs_in_the_tdx_host() {
    let _host = take_host();
    let rig = Rig::default();
    let script = "uname -r; cat /sys/devices/faux/tdx_host/version; echo oops >&2; exit 7";
    let finished = rig.go(&["exec", "--out", "run", "--", "sh", "-c", script]);
    finished.expect(7);
    assert!(finished.stdout.starts_with("7.3.4\n1.5.06\n"), "{finished}");
    assert!(finished.stderr.contains("oops"), "{finished}");
    assert!(rig.path("run/report.html").is_file());
    rig.go(&["exec", "--", "no-such-command"]).expect(127);
}

/// The twin: where an invariant breaks, the command's word counts for nothing.
#[test]
fn a_command_that_makes_the_kernel_complain_has_no_exit_code() {
    let _host = take_host();
    let rig = Rig::default();
    let finished = rig.go(&["exec", "--", "sh", "-c", "echo 'WARNING: CPU: 0 PID: 1 at here' > /dev/kmsg"]);
    assert!(finished.expect(125).stderr.contains("quiet-kernel"), "{finished}");
}

/// A shell without a terminal runs its input; with the update device there an update by hand is judged like any other.
#[test]
fn a_shell_runs_a_script_that_updates_the_module() {
    let _host = take_host();
    let rig = Rig::default();
    let mut command = rig.command(&["shell", "--out", "run"]);
    let mut shell = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let script = "cd /sys/class/firmware/tdx_module
echo 1 > loading; cat /client/joined_files/1.5/tdx_module_1.5.07.blob > data; echo 0 > loading
until [ \"$(cat status)\" = idle ]; do sleep 0.1; done
cat /sys/devices/faux/tdx_host/version\n";
    shell.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
    let finished = Finished::from(shell.wait_with_output().unwrap());
    assert_eq!(finished.expect(0).stdout, "1.5.07\n", "{finished}");
    let verdict: serde_json::Value =
        serde_json::from_slice(&std::fs::read(rig.path("run/verdict.json")).unwrap()).unwrap();
    assert_eq!((&verdict["invariants"]["lockstep"], &verdict["updates"]), (&"held".into(), &1.into()), "{verdict:#}");
}

/// Only a terminal shows that the guest's shell has one: it edits lines, and Ctrl-C ends a command and not the rig.
#[test]
fn a_shell_on_a_terminal_has_a_terminal_of_the_guest() {
    if Command::new("script").arg("--version").output().is_err() {
        println!("skipped: there is no script here (Debian has it: apt install bsdutils)");
        return;
    }
    let (_host, rig) = (take_host(), Rig::default());
    let line = format!("{} shell --out run", binary().display());
    let mut script = Command::new("script");
    script.args(["-qec", &line, "/dev/null"]).current_dir(rig.path("")).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut terminal = script.spawn().expect("script starts");
    let mut keys = terminal.stdin.take().unwrap();
    let mut screen = terminal.stdout.take().unwrap();
    let mut shown = until(&mut screen, "tdx-host# ");
    keys.write_all(b"tty; sleep 100\r").unwrap();
    shown += &until(&mut screen, "/dev/hvc0");
    keys.write_all(b"\x03echo code=$?\r").unwrap();
    shown += &until(&mut screen, "code=130");
    keys.write_all(b"exit\r").unwrap();
    shown += &until(&mut screen, "total ");
    drop(keys);
    assert!(terminal.wait().unwrap().success(), "{shown}");
    assert!(shown.contains("PASSED") && rig.path("run/verdict.json").is_file(), "{shown}");
}

/// Reads until these words are on the screen.
fn until(screen: &mut impl Read, words: &str) -> String {
    let (mut shown, mut byte) = (Vec::new(), [0]);
    while !shown.ends_with(words.as_bytes()) {
        let count = screen.read(&mut byte).expect("the screen can be read");
        assert_eq!(count, 1, "{words} is not shown: {}", String::from_utf8_lossy(&shown));
        shown.push(byte[0]);
    }
    String::from_utf8_lossy(&shown).into_owned()
}
