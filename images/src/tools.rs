//! Programs of the host: where they lie, and which package holds each.

use std::env;
use std::path::{Path, PathBuf};

/// Programs that the builder calls, and the Debian package of each.
pub(crate) const NEEDED: &[(&str, &str)] = &[
    ("apt-get", "apt"),
    ("apt-cache", "apt"),
    ("apt-config", "apt"),
    ("dpkg-deb", "dpkg"),
    ("unshare", "util-linux"),
    ("mount", "mount"),
    ("chroot", "coreutils"),
    ("cc", "gcc"),
];

/// The Debian package that holds `tool`, or `None` for a program that is not one of the builder's.
pub(crate) fn package_of(tool: &str) -> Option<&'static str> {
    // Needed by some commands only.
    if let Some((_, package)) = [("cargo", "cargo"), ("make", "make"), ("xz", "xz-utils"), ("zstd", "zstd")]
        .into_iter()
        .find(|(name, _)| *name == tool)
    {
        return Some(package);
    }
    NEEDED.iter().find(|(name, _)| *name == tool).map(|(_, package)| *package)
}

/// Looks `tool` up in PATH, then where system administration programs lie.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    find_in(tool, &env::var_os("PATH").unwrap_or_default())
}

/// The cargo that builds parts of this workspace: the one that runs us, else the one in PATH.
pub(crate) fn cargo_path() -> Option<PathBuf> {
    env::var_os("CARGO").map(PathBuf::from).filter(|path| path.exists()).or_else(|| find("cargo"))
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
    fn cannot_find_what_is_not_executable() {
        assert_eq!(find_in("passwd", "/etc".as_ref()).filter(|file| file.starts_with("/etc")), None);
        assert_eq!(find_in("no-such-program", "/bin".as_ref()), None);
    }
}
