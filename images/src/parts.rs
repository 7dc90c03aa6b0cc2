//! Parts of this workspace that run elsewhere: the agent in the guest, the plugin in QEMU.

use crate::tools::cargo_path;
use crate::{ImagesError, Progress, run};
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The guest agent's package and program.
pub(crate) const AGENT: Part =
    Part { package: "rig-agent", file: "rig-agent", folder: "guest", flags: "-C target-feature=+crt-static" };

/// The package and the program for real TDX hosts.
pub(crate) const HW: Part =
    Part { package: "rig-hw", file: "rig-hw", folder: "guest", flags: "-C target-feature=+crt-static" };

/// The QEMU plugin's package and library.
pub(crate) const PLUGIN: Part = Part { package: "seam-plugin", file: "libseam_plugin.so", folder: "plugin", flags: "" };

/// The target that both are built for. Naming it keeps the flags away from build scripts and macros.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A package of this workspace that is built apart.
#[derive(Debug)]
pub(crate) struct Part {
    package: &'static str,
    file: &'static str,
    /// Its own target folder below cargo's, so that it never waits for, or disturbs, another build.
    folder: &'static str,
    flags: &'static str,
}

/// Folder with parts that are built already, if the environment names one: where there is nothing to build with.
pub const PARTS: &str = "RIG_PARTS";

/// Builds `part` if its sources changed. Without a workspace, takes what lies beside this program.
pub(crate) fn provide(part: &Part, logs: &Path, progress: &Progress) -> Result<PathBuf, ImagesError> {
    if let Some(folder) = std::env::var_os(PARTS) {
        let path = Path::new(&folder).join(part.file);
        return if path.is_file() { Ok(path) } else { Err(ImagesError::NoWorkspace(part.file.into())) };
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace");
    if workspace.join("Cargo.toml").is_file() {
        return build(part, workspace, logs, progress);
    }
    let own = std::env::current_exe().unwrap_or_default();
    let beside = own.parent().map(|folder| folder.join(part.file)).filter(|path| path.is_file());
    beside.ok_or_else(|| ImagesError::NoWorkspace(part.file.into()))
}

fn build(part: &Part, workspace: &Path, logs: &Path, progress: &Progress) -> Result<PathBuf, ImagesError> {
    let cargo = cargo_path().ok_or_else(|| ImagesError::MissingHostTools(vec!["cargo".into()]))?;
    let target = target_folder(workspace).join(part.folder);
    let mut command = Command::new(cargo);
    command.args(["build", "--release", "--package", part.package, "--target", TARGET]).current_dir(workspace);
    command.arg("--target-dir").arg(&target);
    // What the calling cargo, or a coverage tool around it, sets for its own build is not for this one.
    for (name, _) in std::env::vars_os().filter(|(name, _)| is_callers_own(&name.to_string_lossy())) {
        command.env_remove(name);
    }
    command.env("RUSTFLAGS", part.flags).env("CARGO_TERM_COLOR", "never").env("CARGO_TERM_PROGRESS_WHEN", "never");
    let log = logs.join(part.package).with_extension("log");
    File::create(&log).map_err(ImagesError::io(&log))?; // Only the last build's words are kept.
    let mut step = None;
    run::run(command, null()?, Some(&log), |line| {
        if line.trim_start().starts_with("Compiling") {
            step.get_or_insert_with(|| progress.step(&format!("build {}", part.package), 0)).tick(line.trim());
        }
    })?;
    if let Some(step) = step {
        step.done();
    }
    Ok(target.join(TARGET).join("release").join(part.file))
}

/// Variables that a calling cargo sets for the package that it builds or runs, or that change how rustc is called.
fn is_callers_own(name: &str) -> bool {
    let prefixes = ["CARGO_PKG_", "CARGO_MANIFEST_", "CARGO_BIN_", "CARGO_PROFILE_", "CARGO_LLVM_COV"];
    let names = [
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_CRATE_NAME",
        "CARGO_PRIMARY_PACKAGE",
        "CARGO_TARGET_DIR",
        "CARGO_BUILD_TARGET",
        "CARGO_BUILD_RUSTFLAGS",
        "RUSTFLAGS",
        "LLVM_PROFILE_FILE",
        "LD_LIBRARY_PATH",
    ];
    prefixes.iter().any(|prefix| name.starts_with(prefix)) || names.contains(&name)
}

/// Cargo's target folder, as the environment or the workspace has it.
fn target_folder(workspace: &Path) -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), |folder| workspace.join(folder))
}

fn null() -> Result<File, ImagesError> {
    File::open("/dev/null").map_err(ImagesError::io("/dev/null"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_callers_flags_stay_with_the_caller() {
        for name in ["RUSTFLAGS", "CARGO_PKG_NAME", "CARGO_MANIFEST_DIR", "LLVM_PROFILE_FILE"] {
            assert!(is_callers_own(name), "{name}");
        }
        for name in ["PATH", "CARGO_HOME", "RUSTUP_TOOLCHAIN", "HTTPS_PROXY", "RUSTC_WRAPPER"] {
            assert!(!is_callers_own(name), "{name}");
        }
    }
}
