//! The catalogue is built into the rig, and so is the git revision: a change of either makes a new one.

use std::path::Path;
use std::process::Command;

/// Characters of a revision that tell it from others.
const REVISION_CHARS: &str = "--short=12";

/// Where the sources of the rig and of what it carries lie, beside this crate's own.
const SOURCES: [&str; 8] =
    ["src", "judge/src", "wire/src", "hw/src", "agent/src", "../images", "../guest-kmod", "../seam-emu"];

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../tests/scenarios");
    // Where a commit or a checkout leaves its trace, so that the revision is never that of an earlier build.
    let head = git(&["symbolic-ref", "--quiet", "HEAD"]);
    for name in ["HEAD", "logs/HEAD", "packed-refs"].into_iter().chain(head.as_deref()) {
        watch(git(&["rev-parse", "--git-path", name]).as_deref());
    }
    for path in SOURCES {
        watch(Some(path));
    }
    println!("cargo::rustc-env=RIG_REVISION={}", revision().unwrap_or_else(|| "unknown".into()));
}

/// The revision, and whether files of it were changed since; none outside a git checkout.
fn revision() -> Option<String> {
    let revision = git(&["rev-parse", REVISION_CHARS, "HEAD"])?;
    let changes = git(&["status", "--porcelain", "--untracked-files=no"])?;
    Some(if changes.is_empty() { revision } else { format!("{revision}+changes") })
}

/// Has cargo run this again when `path` changes. Cargo takes a path that does not exist for a changed one.
fn watch(path: Option<&str>) {
    if let Some(path) = path.filter(|path| Path::new(path).exists()) {
        println!("cargo::rerun-if-changed={path}");
    }
}

/// What git says; none: there is no git, or this is no checkout.
fn git(arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").args(arguments).output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
