//! A Debian package of the archive's contents, made by `dpkg-deb`, which the rig needs anyway.

use crate::packed::{Packed, VERSION};
use crate::trouble::Trouble;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the archive's folders go: programs into PATH, module sources where DKMS looks.
const PLACES: [(&str, &str); 3] =
    [("bin/rig-hw", "usr/sbin/rig-hw"), ("guest-kmod/", "usr/src/seamrig-VERSION/"), ("", "usr/share/seamrig/")];

/// Makes the package in `folder`.
pub(super) fn package(all: &[Packed], folder: &Path) -> Result<PathBuf, Trouble> {
    let name = format!("seamrig_{VERSION}_amd64.deb");
    let tree = tempfile::tempdir_in(folder).map_err(|e| Trouble::file("make a folder in", folder, &e))?;
    for packed in all {
        put(tree.path(), &place(&packed.path), &packed.bytes, packed.program)?;
    }
    put(tree.path(), "DEBIAN/control", control(all).as_bytes(), false)?;
    let root = fs::Permissions::from_mode(0o755);
    fs::set_permissions(tree.path(), root).map_err(|e| Trouble::file("set rights of", tree.path(), &e))?;
    let target = folder.join(&name);
    let mut command = Command::new("dpkg-deb");
    command.args(["--build", "--root-owner-group"]).arg(tree.path()).arg(&target);
    let help = "install dpkg, or make the archive only (without --deb)";
    let output = command.output().map_err(|e| Trouble::environment(format!("cannot run dpkg-deb: {e}"), help))?;
    if output.status.success() {
        return Ok(target);
    }
    let said = String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or_default().to_owned();
    Err(Trouble::environment(format!("dpkg-deb fails: {said}"), help))
}

fn place(path: &str) -> String {
    let (from, to) = PLACES.iter().find(|(from, _)| path.starts_with(from)).expect("the last one takes everything");
    let rest = path.strip_prefix(from).expect("it was found by this");
    to.replace("VERSION", VERSION) + rest
}

fn control(all: &[Packed]) -> String {
    let kib: usize = all.iter().map(|packed| packed.bytes.len().div_ceil(1024)).sum();
    format!(
        "Package: seamrig\nVersion: {VERSION}\nArchitecture: amd64\nInstalled-Size: {kib}\n\
         Maintainer: The seamrig authors <seamrig@example.invalid>\nSection: kernel\nPriority: optional\n\
         Suggests: dkms\nDescription: updates the TDX module of a host under observation\n \
         Checks a TDX host, updates its TDX module at run time, observes every CPU by kprobes\n \
         and judges whether all of them moved in lockstep.\n"
    )
}

fn put(tree: &Path, path: &str, bytes: &[u8], program: bool) -> Result<(), Trouble> {
    let path = tree.join(path);
    let written = fs::create_dir_all(path.parent().unwrap_or(tree))
        .and_then(|()| fs::write(&path, bytes))
        .and_then(|()| fs::set_permissions(&path, fs::Permissions::from_mode(if program { 0o755 } else { 0o644 })));
    written.map_err(|e| Trouble::file("write", &path, &e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_has_its_place() {
        assert_eq!(place("bin/rig-hw"), "usr/sbin/rig-hw");
        assert_eq!(place("bin/rig-agent"), "usr/share/seamrig/bin/rig-agent");
        assert_eq!(place("guest-kmod/dkms.conf"), format!("usr/src/seamrig-{VERSION}/dkms.conf"));
        assert_eq!(place("licences/LICENSE-MIT"), "usr/share/seamrig/licences/LICENSE-MIT");
    }
}
