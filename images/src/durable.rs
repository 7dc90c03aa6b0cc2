//! Making sure that what was written outlives a power cut.

use crate::ImagesError;
use std::fs::File;
use std::path::Path;
use walkdir::WalkDir;

/// Up to so many files are flushed one by one. A tree of more takes less time when the whole file system is flushed: a kernel's
/// source has 93,000.
const FLUSHED_ONE_BY_ONE: usize = 256;

/// Brings all files and folders of `folder` to the disk.
pub(crate) fn tree(folder: &Path) -> Result<(), ImagesError> {
    let paths = WalkDir::new(folder).into_iter().filter_map(Result::ok).filter(|entry| !entry.path_is_symlink());
    let paths: Vec<_> = paths.map(walkdir::DirEntry::into_path).take(FLUSHED_ONE_BY_ONE + 1).collect();
    if paths.len() > FLUSHED_ONE_BY_ONE {
        return file_system(folder);
    }
    paths.iter().try_for_each(|path| one(path))
}

/// Brings one file, or the names in one folder, to the disk.
pub(crate) fn one(path: &Path) -> Result<(), ImagesError> {
    File::open(path).and_then(|file| file.sync_all()).map_err(ImagesError::io(path))
}

fn file_system(path: &Path) -> Result<(), ImagesError> {
    let file = File::open(path).map_err(ImagesError::io(path))?;
    nix::unistd::syncfs(&file).map_err(|error| ImagesError::io(path)(error.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_and_large_trees_are_flushed() {
        let folder = tempfile::tempdir().unwrap();
        std::os::unix::fs::symlink("/nonexistent", folder.path().join("link")).unwrap();
        for count in [1, FLUSHED_ONE_BY_ONE + 1] {
            (0..count).for_each(|n| std::fs::write(folder.path().join(n.to_string()), "x").unwrap());
            tree(folder.path()).unwrap();
        }
        assert!(one(&folder.path().join("missing")).is_err());
    }
}
