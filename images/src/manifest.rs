//! What an entry of the cache is made of, written beside it.

use crate::{ImagesError, hash};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};

/// Its name in an entry.
pub(crate) const MANIFEST: &str = "manifest.json";

/// The form of entries that are made now. Those of form 0 were made without a list of their contents.
pub(crate) const FORM: u32 = 1;

/// One thing that went into a run, for the run's manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Artifact {
    /// Package, file or build, such as `qemu-system-x86` or `bzImage`.
    pub name: String,
    /// Version of the package, release of the kernel; empty where there is none.
    pub version: String,
    /// SHA-256 of the file (of the package's archive for packages), lower-case hex.
    pub sha256: String,
    /// Where it lies now, if it is a file of its own.
    pub path: Option<PathBuf>,
}

/// `manifest.json` of an entry.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Manifest {
    pub(crate) what: String,
    pub(crate) inputs: serde_json::Value,
    pub(crate) artifacts: Vec<Artifact>,
    pub(crate) warnings: Vec<String>,
    pub(crate) build_ms: u64,
    /// See [`FORM`].
    #[serde(default)]
    pub(crate) form: u32,
}

impl Manifest {
    /// Of the entry at `folder`; `None` when there is no whole one.
    pub(crate) fn read(folder: &Path) -> Option<Self> {
        let text = std::fs::read(folder.join(MANIFEST)).ok()?;
        let mut manifest: Self = serde_json::from_slice(&text).ok()?;
        for path in manifest.artifacts.iter_mut().filter_map(|artifact| artifact.path.as_mut()) {
            *path = folder.join(&*path);
        }
        Some(manifest)
    }
}

impl Artifact {
    /// A file of the entry being made in `folder`; its path is recorded relative to the entry.
    pub(crate) fn of_file(folder: &Path, relative: &str, version: &str) -> Result<Self, ImagesError> {
        let name = Path::new(relative).file_name().expect("a file has a name").to_string_lossy().into_owned();
        let sha256 = hash::of_file(&folder.join(relative))?;
        Ok(Self { name, version: version.into(), sha256, path: Some(relative.into()) })
    }
}

/// Writes a file so that it is there as a whole or, if this process is killed, as it was before.
pub(crate) fn replace(path: &Path, content: &[u8]) -> Result<(), ImagesError> {
    static NUMBER: AtomicU32 = AtomicU32::new(0);
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{}.{}", std::process::id(), NUMBER.fetch_add(1, Ordering::Relaxed)));
    let new = PathBuf::from(name);
    let written = File::create(&new).and_then(|mut file| file.write_all(content));
    let replaced = written.and_then(|()| std::fs::rename(&new, path));
    if replaced.is_err() {
        // Nothing is lost with it.
        let _ = std::fs::remove_file(&new);
    }
    replaced.map_err(ImagesError::io(path))
}
