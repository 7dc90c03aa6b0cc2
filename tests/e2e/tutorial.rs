//! The tutorial does what it says: its commands are run as they stand there, by a shell, in one folder.

use rig_tests::{Finished, Rig, binary, share_host};
use std::os::unix::fs::PermissionsExt;

const PAGE: &str = include_str!("../../docs/tutorial/first-race.md");

/// What the page says that a command prints, by a part of that command.
const PRINTED: [(&str, &str); 5] = [
    ("run --out runs/tutorial-plain", "PASSED  plain: 1 update on 4 CPUs"),
    ("run --out runs/tutorial-plain", "1.5.06 -> 1.5.07"),
    ("replay runs/tutorial-explore", "all timelines are equal, and as recorded"),
    ("replay runs/tutorial-fixed", "1: passed"),
    ("--out runs/tutorial-again", "0 of 40 schedules failed: 0.00 % to 8.76 %"),
];

/// The blocks that a reader copies into a shell.
fn blocks() -> Vec<&'static str> {
    PAGE.split("```sh\n").skip(1).map(|rest| rest.split_once("```").expect("a block has an end").0).collect()
}

/// What `# exits with N` in a block says, else 0.
fn exit_code(block: &str) -> i32 {
    block.split_once("# exits with ").map_or(0, |(_, rest)| rest.trim().parse().expect("an exit code"))
}

#[test]
fn the_commands_of_the_tutorial_do_what_it_says() {
    let _host = share_host();
    let rig = Rig::default();
    // `cargo rig` is an alias of this repository, and the page's folder is an empty one here. Whatever else is asked of
    // cargo, such as the guest's agent, the real one builds.
    let (real, ours) = (env!("CARGO"), binary());
    let script = format!("#!/bin/sh\n[ \"$1\" = rig ] || exec {real:?} \"$@\"\nshift\nexec {ours:?} \"$@\"\n");
    let cargo = rig.file("cargo", script);
    std::fs::set_permissions(&cargo, std::fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", rig.path("").display(), std::env::var("PATH").unwrap_or_default());
    let blocks = blocks();
    assert!(blocks.len() >= 10, "{blocks:?}");
    for block in &blocks {
        let mut shell = std::process::Command::new("sh");
        shell.args(["-e", "-c", block]).current_dir(rig.path("")).env("PATH", &path).stdin(std::process::Stdio::null());
        let finished = Finished::from(shell.output().unwrap());
        assert_eq!(finished.code, exit_code(block), "{block}{finished}");
        for (_, text) in PRINTED.iter().filter(|(command, _)| block.contains(command)) {
            assert!(finished.stdout.contains(text), "{block} does not print {text:?}: {finished}");
        }
    }
    assert!(rig.path("runs/tutorial-plain/report.html").is_file());
}

#[test]
fn what_the_tutorial_says_is_printed_stands_there() {
    for (command, text) in PRINTED {
        assert!(blocks().iter().any(|block| block.contains(command)), "no block has {command}");
        assert!(PAGE.replace('\n', " ").contains(&format!("`{text}`")), "the page lacks {text}");
    }
    assert_eq!(blocks().iter().filter(|block| exit_code(block) == 1).count(), 3);
}
