//! What the host must have: only what every Debian-like machine with Rust has.

use crate::ImagesError;
use std::env;
use std::path::{Path, PathBuf};

/// Programs that the builder calls, and the Debian package of each.
const NEEDED: &[(&str, &str)] = &[
    ("apt-get", "apt"),
    ("apt-cache", "apt"),
    ("apt-config", "apt"),
    ("dpkg-deb", "dpkg"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("chroot", "coreutils"),
    ("cc", "gcc"),
];

/// Programs of the host that are needed and missing; empty when all is well.
pub fn missing_host_tools() -> Vec<String> {
    let mut missing: Vec<String> =
        NEEDED.iter().map(|(tool, _)| *tool).filter(|tool| find(tool).is_none()).map(String::from).collect();
    if crate::parts::cargo_path().is_none() {
        missing.push("cargo".into());
    }
    missing
}

/// An error that names those of `tools` that this host lacks.
pub(crate) fn require(tools: &[&str]) -> Result<(), ImagesError> {
    let missing: Vec<String> = tools.iter().filter(|tool| find(tool).is_none()).map(ToString::to_string).collect();
    if missing.is_empty() { Ok(()) } else { Err(ImagesError::MissingHostTools(missing)) }
}

/// The Debian package that holds `tool`, or `None` for a program that is not one of the builder's.
pub(crate) fn package_of(tool: &str) -> Option<&'static str> {
    if tool == "cargo" {
        return Some("cargo");
    }
    NEEDED.iter().find(|(name, _)| *name == tool).map(|(_, package)| *package)
}

/// Looks `tool` up in PATH, then where system administration programs lie.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    find_in(tool, &env::var_os("PATH").unwrap_or_default())
}

fn find_in(tool: &str, path: &std::ffi::OsStr) -> Option<PathBuf> {
    let admin = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(path).chain(admin).map(|folder| folder.join(tool)).find(|file| is_program(file))
}

fn is_program(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    file.metadata().is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_find_a_program_in_the_path() {
        assert!(find_in("sh", "/nonexistent:/bin".as_ref()).is_some());
    }

    #[test]
    fn what_is_missing_is_named_with_the_command_that_mends_it() {
        assert!(require(&["sh"]).is_ok());
        let error = require(&["sh", "no-such-program"]).unwrap_err();
        assert_eq!(error.to_string(), "this host lacks no-such-program");
        let error = ImagesError::MissingHostTools(vec!["apt-get".into(), "apt-cache".into(), "unshare".into()]);
        assert_eq!(error.remedy(), "on Debian or Ubuntu: apt-get install apt util-linux");
    }

    #[test]
    fn cannot_find_what_is_not_executable() {
        assert_eq!(find_in("passwd", "/etc".as_ref()).filter(|file| file.starts_with("/etc")), None);
        assert_eq!(find_in("no-such-program", "/bin".as_ref()), None);
    }
}
