//! The private folder of a running machine: the sockets that QEMU connects to, and the event ring.
//!
//! A unix socket's path has at most 107 bytes, so the folder has a short path of its own rather than lying in the run
//! folder. A lock on a file in it shows whether its rig still runs; folders that a killed rig left are removed by the
//! next one.

use crate::trouble::Trouble;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;
use tokio::net::UnixListener;

const PREFIX: &str = "seamrig-";
/// A file in it that its rig has locked.
const LOCK: &str = "lock";
/// The same before it is locked.
const UNLOCKED: &str = "lock.new";
/// A rig needs milliseconds to lock its new folder. One that is still without a lock after this time has lost its rig.
const LOCKED_WITHIN: Duration = Duration::from_secs(3600);
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
        let lock = take_lock(dir.path()).map_err(failed)?;
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

/// The lock gets its name when it is locked already: a rig that looks for abandoned folders never sees it unlocked while its
/// owner runs.
fn take_lock(dir: &Path) -> std::io::Result<File> {
    let lock = File::create_new(dir.join(UNLOCKED))?;
    lock.lock()?;
    std::fs::rename(dir.join(UNLOCKED), dir.join(LOCK))?;
    Ok(lock)
}

/// Removes the folders of rigs that have ended. Best effort: one that cannot be removed now is found again by the next rig.
fn remove_abandoned(parent: &Path) {
    let us = nix::unistd::geteuid().as_raw();
    for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
        let named_so = entry.file_name().to_string_lossy().starts_with(PREFIX);
        // Anybody may put something of this name into a folder for temporary files.
        let ours = named_so && entry.metadata().is_ok_and(|data| data.is_dir() && data.uid() == us);
        if ours && let Abandoned::Yes(_lock) = abandoned(&entry.path()) {
            let _ = std::fs::remove_dir_all(entry.path());
        }
    }
}

/// Whether a folder's rig is gone.
enum Abandoned {
    /// It runs, or may have just begun.
    No,
    /// It is gone. The lock, where there is one, keeps other rigs from removing the folder at the same time.
    Yes(Option<File>),
}

fn abandoned(dir: &Path) -> Abandoned {
    let Ok(lock) = File::open(dir.join(LOCK)) else {
        let made = dir.metadata().and_then(|data| data.modified());
        let age = made.ok().and_then(|made| made.elapsed().ok());
        return if age.is_some_and(|age| age > LOCKED_WITHIN) { Abandoned::Yes(None) } else { Abandoned::No };
    };
    if lock.try_lock().is_ok() { Abandoned::Yes(Some(lock)) } else { Abandoned::No }
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

    /// Makes runtime folders in `parent` while others look for abandoned ones, and counts those that were taken away.
    fn taken_away(parent: &Path, make: fn(&Path) -> (tempfile::TempDir, File)) -> usize {
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        remove_abandoned(parent);
                    }
                });
            }
            let taken = (0..300).filter(|_| !make(parent).0.path().join(LOCK).exists()).count();
            done.store(true, std::sync::atomic::Ordering::Relaxed);
            taken
        })
    }

    fn new_dir(parent: &Path) -> tempfile::TempDir {
        tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent).unwrap()
    }

    #[test]
    fn rigs_that_start_at_once_leave_each_other_alone() {
        let parent = tempfile::tempdir().unwrap();
        let made = |parent: &Path| {
            let dir = new_dir(parent);
            let lock = take_lock(dir.path()).unwrap();
            (dir, lock)
        };
        assert_eq!(taken_away(parent.path(), made), 0);
    }

    #[test]
    fn a_lock_that_is_named_before_it_is_locked_would_be_taken_away() {
        let parent = tempfile::tempdir().unwrap();
        let made = |parent: &Path| {
            let dir = new_dir(parent);
            let lock = File::create_new(dir.path().join(LOCK)).unwrap();
            std::thread::sleep(Duration::from_millis(2));
            // By now it may have no name any more.
            let _ = lock.lock();
            (dir, lock)
        };
        assert_ne!(taken_away(parent.path(), made), 0);
    }

    #[test]
    fn a_folder_whose_rig_died_before_it_was_locked_goes_in_the_end() {
        let parent = tempfile::tempdir().unwrap();
        let [young, old] = ["seamrig-young", "seamrig-old"].map(|name| parent.path().join(name));
        for dir in [&young, &old] {
            std::fs::create_dir(dir).unwrap();
        }
        let long_ago = std::time::SystemTime::now() - 2 * LOCKED_WITHIN;
        File::open(&old).unwrap().set_modified(long_ago).unwrap();
        remove_abandoned(parent.path());
        assert!(young.exists() && !old.exists());
    }
}
