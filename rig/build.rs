//! The catalogue is built into the rig, and so are the git revision and the program that runs in trust domains of machine code: a
//! change of any makes a new one.

use std::path::Path;
use std::process::Command;

/// Characters of a revision that tell it from others.
const REVISION_CHARS: &str = "--short=12";

/// Where the sources of the rig and of what it carries lie, beside this crate's own.
const SOURCES: [&str; 9] =
    ["src", "guest-td", "judge/src", "wire/src", "hw/src", "agent/src", "../images", "../guest-kmod", "../seam-emu"];

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
    build_guest();
    println!("cargo::rustc-env=RIG_REVISION={}", revision().unwrap_or_else(|| "unknown".into()));
}

/// Builds the program of `guest-td`, which needs neither an operating system nor a library, for the machine that this runs on.
fn build_guest() {
    const FLAGS: [&str; 8] = [
        "panic=abort",
        "opt-level=2",
        "relocation-model=static",
        "no-redzone=yes",
        "linker=cc",
        "link-arg=-nostdlib",
        "link-arg=-static",
        "link-arg=-Wl,--build-id=none",
    ];
    let cargo = |name| std::env::var_os(name).unwrap_or_else(|| panic!("cargo sets {name}"));
    let source = Path::new(&cargo("CARGO_MANIFEST_DIR")).join("guest-td");
    let mut rustc = Command::new(cargo("RUSTC"));
    rustc.args(["--edition", "2024", "--crate-name", "guest_td", "--crate-type", "bin", "-D", "warnings"]);
    rustc.args(FLAGS.iter().flat_map(|flag| ["-C", *flag]));
    rustc.arg("-C").arg(format!("link-arg=-Wl,-T{}", source.join("link.ld").display()));
    let [built, kept] = ["guest-td.new", "guest-td.elf"].map(|name| Path::new(&cargo("OUT_DIR")).join(name));
    rustc.arg("-o").arg(&built).arg(source.join("main.rs"));
    let output = rustc.output().expect("cargo's compiler starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    // The rig is compiled again only if the program is another one.
    if std::fs::read(&built).ok() != std::fs::read(&kept).ok() {
        std::fs::rename(&built, &kept).expect("cargo's folder can be written");
    }
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
