//! Everything a run needs besides the rig itself: QEMU, kernels, initramfs, the guest agent, the QEMU plugin.
//!
//! Each is built once and kept in one cache folder (`RIG_CACHE`, else the XDG cache), addressed by the hash of what
//! made it. Two builders at once are safe; a killed one leaves nothing that a later one could mistake for a result.

mod error;
mod host;
pub mod kernel;
mod parts;
mod progress;
mod toolroot;

use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

pub use error::ImagesError;
pub use host::missing_host_tools;
pub use kernel::{Fragment, Kernel, KernelRequest, SourceEdit};
pub use progress::{Progress, Step};
pub use toolroot::ToolRoot;

/// The builder and its cache. Open it once per process; `&self` methods may be called from several threads.
pub struct Images {
    progress: Progress,
}

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

/// One entry of the cache.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CacheEntry {
    /// Name of its folder: kind and key.
    pub name: String,
    /// What it is, in words.
    pub what: String,
    /// Bytes on disk.
    pub size_bytes: u64,
    /// When it was made.
    pub made: SystemTime,
    /// Where it lies.
    pub path: PathBuf,
}

impl Images {
    /// Opens the cache (`RIG_CACHE`, else `$XDG_CACHE_HOME/seamrig`, else `~/.cache/seamrig`).
    pub fn open(progress: Progress) -> Result<Self, ImagesError> {
        Ok(Self { progress })
    }

    /// QEMU and what it needs. The first call downloads it (38 MB).
    pub fn tool_root(&self) -> Result<ToolRoot, ImagesError> {
        todo!("{:?}", self.progress)
    }

    /// A kernel built from Debian's source package. The first call takes minutes; a variant with edits takes seconds.
    pub fn kernel(&self, request: &KernelRequest) -> Result<Kernel, ImagesError> {
        todo!("{request:?}")
    }

    /// Builds out-of-tree modules in `dir` (Kbuild, `M=dir`, `W=1`) against `kernel`; returns its `.ko` files.
    pub fn build_modules(&self, kernel: &Kernel, dir: &Path) -> Result<Vec<PathBuf>, ImagesError> {
        todo!("{kernel:?} {dir:?}")
    }

    /// An initramfs: `/init` is `agent`, `modules` go to `/lib/modules/rig/NAME.ko`, `extra` are (path, content).
    pub fn initramfs(
        &self,
        agent: &Path,
        modules: &[PathBuf],
        extra: &[(String, Vec<u8>)],
    ) -> Result<PathBuf, ImagesError> {
        todo!("{agent:?} {modules:?} {extra:?}")
    }

    /// The guest agent, a static program; built by cargo when its sources changed.
    pub fn agent(&self) -> Result<PathBuf, ImagesError> {
        todo!()
    }

    /// The QEMU plugin, a shared library; built by cargo when its sources changed.
    pub fn plugin(&self) -> Result<PathBuf, ImagesError> {
        todo!()
    }

    /// All that was handed out by this value so far: package, version, sha256.
    pub fn manifest(&self) -> Vec<Artifact> {
        todo!()
    }

    /// What was noticed on the way, such as a pinned version that has left the archive.
    pub fn warnings(&self) -> Vec<String> {
        todo!()
    }

    /// Entries of the cache, oldest first.
    pub fn list(&self) -> Result<Vec<CacheEntry>, ImagesError> {
        todo!()
    }

    /// Removes entries that nobody uses and for which `keep` says no; returns those removed.
    pub fn clean(&self, keep: impl Fn(&CacheEntry) -> bool) -> Result<Vec<CacheEntry>, ImagesError> {
        todo!("{}", keep(&self.list()?[0]))
    }
}
