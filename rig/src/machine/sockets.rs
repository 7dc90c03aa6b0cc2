//! The private folder of a running machine: the sockets that QEMU connects to, and the event ring.
//!
//! A unix socket's path has at most 107 bytes, so the folder has a short path of its own rather than lying in the run
//! folder. A lock on a file in it tells whether its rig still lives; folders that a killed rig left are removed by the
//! next one.

use crate::trouble::Trouble;
use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use tempfile::TempDir;
use tokio::net::UnixListener;

const PREFIX: &str = "seamrig-";
/// `sizeof(sockaddr_un.sun_path) - 1`.
const MAX_SOCKET_PATH: usize = 107;

/// The private folder, removed on drop.
#[derive(Debug)]
pub struct RuntimeDir {
    dir: TempDir,
    _lock: File,
}

impl RuntimeDir {
    /// Makes one under `XDG_RUNTIME_DIR`, or the system's folder for temporary files.
    pub fn create() -> Result<Self, Trouble> {
        let candidates =
            std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).into_iter().chain([std::env::temp_dir()]);
        let parent = candidates
            .filter(|p| p.is_dir() && p.as_os_str().len() + 40 < MAX_SOCKET_PATH)
            .find(|p| tempfile::Builder::new().prefix(PREFIX).tempdir_in(p).is_ok())
            .unwrap_or_else(|| PathBuf::from("/tmp"));
        remove_abandoned(&parent);
        Self::create_in(&parent)
    }

    fn create_in(parent: &Path) -> Result<Self, Trouble> {
        let failed = |e| Trouble::file("make a private folder in", parent, &e);
        let dir = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).map_err(failed)?;
        let lock = File::create_new(dir.path().join("lock")).map_err(failed)?;
        lock.lock().map_err(failed)?;
        Ok(Self { dir, _lock: lock })
    }

    /// Path of a file in it.
    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Listens on a socket in it.
    pub fn listen(&self, name: &str) -> Result<UnixListener, Trouble> {
        let path = self.path(name);
        UnixListener::bind(&path).map_err(|e| Trouble::file("listen on", &path, &e))
    }
}

/// Removes the folders of rigs that live no more. Best effort: what cannot be removed is somebody else's.
fn remove_abandoned(parent: &Path) {
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let ours = entry.file_name().to_string_lossy().starts_with(PREFIX);
        if ours && is_abandoned(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

fn is_abandoned(dir: &Path) -> bool {
    File::open(dir.join("lock")).is_ok_and(|lock| !matches!(lock.try_lock(), Err(TryLockError::WouldBlock)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_rigs_folder_is_removed_and_a_living_ones_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let dead = parent.path().join("seamrig-dead");
        std::fs::create_dir(&dead).unwrap();
        std::fs::write(dead.join("lock"), "").unwrap();
        let living = RuntimeDir::create_in(parent.path()).unwrap();
        let other = parent.path().join("other");
        std::fs::create_dir(&other).unwrap();
        remove_abandoned(parent.path());
        assert!(!dead.exists());
        assert!(living.path("lock").exists());
        assert!(other.exists());
    }

    #[test]
    fn socket_paths_are_short_enough() {
        let dir = RuntimeDir::create().unwrap();
        assert!(dir.path("control.sock").as_os_str().len() <= MAX_SOCKET_PATH);
    }
}
