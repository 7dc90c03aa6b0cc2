//! Files and links of an entry of the cache.

use crate::ImagesError;
use std::fs::Metadata;
use std::path::{Path, PathBuf};
use walkdir::WalkDir;

/// What says of an entry how its files have to be, which are its members without it.
pub(crate) const CONTENTS: &str = "contents.json";
pub(crate) const STAMP: &str = "stamp.json";

/// A file or link of an entry.
#[derive(Debug)]
pub(crate) struct Member {
    /// Path in the entry.
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    pub(crate) data: Metadata,
}

/// All files and links of the entry at `folder` in the order of their names, without the files that say how they have to be.
pub(crate) fn members(folder: &Path) -> Result<Vec<Member>, ImagesError> {
    let mut members = Vec::new();
    for found in WalkDir::new(folder).min_depth(1).sort_by_file_name() {
        let found = found.map_err(|error| ImagesError::io(folder)(error.into()))?;
        if found.file_type().is_dir() {
            continue;
        }
        let name = found.path().strip_prefix(folder).expect("it was found below").to_string_lossy().into_owned();
        if name.starts_with(CONTENTS) || name.starts_with(STAMP) {
            continue;
        }
        let data = found.metadata().map_err(|error| ImagesError::io(found.path())(error.into()))?;
        members.push(Member { name, path: found.into_path(), data });
    }
    Ok(members)
}
