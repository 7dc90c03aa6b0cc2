//! A part of Debian for the guest: packages, and all that they depend on, in one archive that the kernel unpacks before the
//! rig's own.

use crate::apt::{self, Apt};
use crate::cache::{Cache, Entry, Recipe};
use crate::{Artifact, ImagesError, Manifest, Progress, pack, unpack};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// A root file system of Debian's packages.
#[derive(Clone, Debug)]
pub struct Userspace {
    /// Its archive, in the form of an initramfs.
    pub archive: PathBuf,
}

/// Bump when what is made from the same packages changes.
const LAYOUT: u32 = 1;

/// Name of the archive in its entry.
const ARCHIVE: &str = "userspace.cpio";

/// The same packages in another order are the same userspace.
fn recipe(packages: &[String]) -> Recipe {
    let mut names = packages.to_vec();
    names.sort();
    names.dedup();
    let what = format!("userspace ({})", names.join(", "));
    let inputs = json!({ "layout": LAYOUT, "packages": names, "suites": [apt::SUITE, apt::BACKPORTS] });
    Recipe { kind: "userspace", what, inputs, space_bytes: 400_000_000 }
}

/// Provides the entry with these packages.
pub(crate) fn entry(cache: &Cache, progress: &Progress, packages: &[String]) -> Result<Entry, ImagesError> {
    cache.entry(&recipe(packages), |temp| {
        let apt = Apt::open(&cache.folder("apt"), progress)?;
        let closure = apt.closure(packages)?;
        let mut artifacts = unpack::packages(&apt, &closure, "userspace", temp, progress)?;
        let archive = pack::folder(temp.path())?;
        empty(temp.path())?;
        let path = temp.path().join(ARCHIVE);
        fs::write(&path, archive).map_err(ImagesError::io(&path))?;
        artifacts.push(Artifact::of_file(temp.path(), ARCHIVE, "")?);
        Ok(Manifest { artifacts, ..Manifest::default() })
    })
}

/// What was unpacked is in the archive.
fn empty(folder: &Path) -> Result<(), ImagesError> {
    for entry in fs::read_dir(folder).map_err(ImagesError::io(folder))? {
        let path = entry.map_err(ImagesError::io(folder))?.path();
        let is_folder = path.symlink_metadata().map_err(ImagesError::io(&path))?.is_dir();
        let removed = if is_folder { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.map_err(ImagesError::io(&path))?;
    }
    Ok(())
}

impl Userspace {
    pub(crate) fn new(entry: &Entry) -> Self {
        Self { archive: entry.path.join(ARCHIVE) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_order_of_packages_does_not_matter_and_their_names_do() {
        let name = |packages: &[&str]| recipe(&packages.iter().map(ToString::to_string).collect::<Vec<_>>()).name();
        assert_eq!(name(&["dash", "coreutils"]), name(&["coreutils", "dash", "dash"]));
        assert_ne!(name(&["dash"]), name(&["bash"]));
    }

    #[test]
    fn what_was_unpacked_goes_away() {
        let folder = tempfile::tempdir().unwrap();
        unpack::lay_out(folder.path()).unwrap();
        fs::write(folder.path().join("usr/bin/sh"), "").unwrap();
        empty(folder.path()).unwrap();
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
