//! QEMU, unpacked into a folder with its own libraries.

use crate::apt::Apt;
use crate::cache::{Cache, Entry, Recipe};
use crate::version::version_key;
use crate::{Artifact, ImagesError, Manifest, Progress, packages, unpack};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A folder with QEMU and the libraries it needs, independent of the host's.
#[derive(Clone, Debug)]
pub struct ToolRoot {
    /// The folder: `usr/bin/qemu-system-x86_64` and so on lie below it.
    pub root: PathBuf,
    /// Version of the C library in it, such as `2.41`.
    glibc: String,
}

/// Bump when what is made from the same packages changes.
const LAYOUT: u32 = 1;

pub(crate) fn recipe() -> Recipe {
    let inputs = json!({ "layout": LAYOUT, "packages": packages::QEMU, "pins": packages::PINS[0],
        "suites": [crate::apt::SUITE, crate::apt::BACKPORTS] });
    Recipe { kind: "qemu", what: "QEMU".into(), inputs, space_bytes: 400_000_000 }
}

/// Provides the entry with QEMU.
pub(crate) fn entry(cache: &Cache, progress: &Progress) -> Result<Entry, ImagesError> {
    cache.entry(&recipe(), |temp| {
        let apt = Apt::open(&cache.folder("apt"), progress)?;
        let choice = packages::choose(&apt, packages::QEMU[0])?;
        let mut wanted = vec![choice.wanted];
        wanted.extend(packages::QEMU[1..].iter().map(ToString::to_string));
        let closure = apt.closure(&wanted)?;
        let artifacts = unpack::packages(&apt, &closure, "QEMU", temp, progress)?;
        Ok(Manifest { artifacts, warnings: choice.warning.into_iter().collect(), ..Manifest::default() })
    })
}

impl ToolRoot {
    pub(crate) fn new(entry: &Entry) -> Self {
        let version = |artifact: &Artifact| artifact.version.split('-').next().unwrap_or_default().to_owned();
        let libc = entry.manifest.artifacts.iter().find(|artifact| artifact.name == "libc6");
        Self { root: entry.path.clone(), glibc: libc.map(version).unwrap_or_default() }
    }

    /// `qemu-system-x86_64`, started through the root's own dynamic loader, with `-L` for its firmware.
    pub fn qemu_command(&self) -> Command {
        let mut command = self.program("qemu-system-x86_64");
        for folder in ["usr/share/qemu", "usr/share/seabios", "usr/lib/ipxe/qemu"] {
            let folder = self.root.join(folder);
            if folder.is_dir() {
                command.arg("-L").arg(folder);
            }
        }
        command
    }

    /// `qemu-img`, started likewise.
    pub fn qemu_img_command(&self) -> Command {
        self.program("qemu-img")
    }

    /// A program of the root, which runs on the root's libraries whatever the host's are.
    fn program(&self, name: &str) -> Command {
        let libraries = self.libraries();
        let mut command = Command::new(self.root.join("usr/lib64/ld-linux-x86-64.so.2"));
        command.arg("--library-path").arg(&libraries).arg(self.root.join("usr/bin").join(name));
        command.env("QEMU_MODULE_DIR", libraries.join("qemu"));
        command
    }

    fn libraries(&self) -> PathBuf {
        self.root.join("usr/lib/x86_64-linux-gnu")
    }

    /// Upstream version of QEMU, such as `11.1.3`, as the program itself says.
    pub fn qemu_version(&self) -> Result<String, ImagesError> {
        let mut command = self.qemu_command();
        let output = command.arg("--version").output().map_err(ImagesError::io(&self.root))?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        parse_version(&text).ok_or_else(|| ImagesError::Program {
            program: "qemu-system-x86_64".into(),
            detail: String::from_utf8_lossy(&output.stderr).lines().next().unwrap_or("no version printed").into(),
            log: None,
        })
    }

    /// Whether QEMU can load a library that this host's linker made: its glibc must not be newer than the root's.
    pub(crate) fn check_loadable(&self, library: &Path) -> Result<(), ImagesError> {
        let data = std::fs::read(library).map_err(ImagesError::io(library))?;
        let newest = crate::elf::newest_glibc(&data);
        match newest.filter(|needs| version_key(needs) > version_key(&self.glibc)) {
            Some(needs) => Err(ImagesError::HostTooNew { path: library.into(), needs, has: self.glibc.clone() }),
            None => Ok(()),
        }
    }
}

/// `QEMU emulator version 11.1.3 (Debian ...)`.
fn parse_version(text: &str) -> Option<String> {
    let version = text.lines().next()?.split("version ").nth(1)?.split_whitespace().next()?;
    Some(version.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_read_the_version() {
        let text = "QEMU emulator version 11.1.3 (Debian 1:11.1.3+ds-1~bpo13+1)\nCopyright";
        assert_eq!(parse_version(text).as_deref(), Some("11.1.3"));
    }

    #[test]
    fn cannot_read_a_version_from_an_error() {
        assert_eq!(parse_version("qemu: cannot open shared object file"), None);
        assert_eq!(parse_version(""), None);
    }

    #[test]
    fn can_load_what_wants_no_newer_glibc_and_cannot_load_the_rest() {
        let own = std::env::current_exe().unwrap();
        let check = |glibc: &str| ToolRoot { root: PathBuf::new(), glibc: glibc.into() }.check_loadable(&own);
        assert!(check("2.999").is_ok());
        let error = check("2.3").unwrap_err();
        assert!(matches!(&error, ImagesError::HostTooNew { has, .. } if has == "2.3"), "{error}");
    }
}
