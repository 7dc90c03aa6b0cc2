//! Locks between processes, held by open files: they end with the process that holds them, however it ends.

use crate::{ImagesError, Progress};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Opens the lock file at `path`, which is made when missing and never removed by its users.
pub(crate) fn open(path: &Path) -> Result<File, ImagesError> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(ImagesError::io(path))
}

/// Takes `file` for this process alone; while another one has it, waits and says so.
pub(crate) fn exclusive(file: &File, path: &Path, what: &str, progress: &Progress) -> Result<(), ImagesError> {
    take(file.try_lock(), || file.lock(), path, what, progress)
}

/// Takes `file` together with others; while one has it alone, waits and says so.
pub(crate) fn shared(file: &File, path: &Path, what: &str, progress: &Progress) -> Result<(), ImagesError> {
    take(file.try_lock_shared(), || file.lock_shared(), path, what, progress)
}

fn take(
    tried: Result<(), TryLockError>,
    wait: impl FnOnce() -> io::Result<()>,
    path: &Path,
    what: &str,
    progress: &Progress,
) -> Result<(), ImagesError> {
    let result = match tried {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => {
            progress.say(&format!("waiting for another process that makes {what}"));
            wait()
        }
        Err(TryLockError::Error(source)) => Err(source),
    };
    result.map_err(ImagesError::io(path))
}

/// A folder that exists while its builder lives. Children that inherit [`TempDir::hold`] count as the builder.
#[derive(Debug)]
pub(crate) struct TempDir {
    path: PathBuf,
    lock: File,
}

impl TempDir {
    /// Makes `parent/NAME.PID.N`, guarded by a lock file beside it.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self, ImagesError> {
        for number in 0_u32.. {
            let path = parent.join(format!("{name}.{}.{number}", std::process::id()));
            let lock_path = lock_path(&path);
            let lock = open(&lock_path)?;
            // A sweeper may have removed the file between its creation and its lock; then the name is not ours.
            let ours = lock.try_lock().is_ok() && lock.metadata().is_ok_and(|data| data.nlink() > 0);
            if ours && !path.exists() {
                std::fs::create_dir(&path).map_err(ImagesError::io(&path))?;
                return Ok(Self { path, lock });
            }
        }
        unreachable!("a process makes fewer than four billion folders")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle that keeps the folder from being swept: give it to children, as their standard input.
    pub(crate) fn hold(&self) -> Result<File, ImagesError> {
        self.lock.try_clone().map_err(ImagesError::io(&self.path))
    }

    /// Turns the folder into `target`, all at once.
    pub(crate) fn publish(self, target: &Path) -> Result<(), ImagesError> {
        std::fs::rename(&self.path, target).map_err(ImagesError::io(target))
        // Drop removes the lock file; the folder is no longer there.
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        if !self.path.exists() || std::fs::remove_dir_all(&self.path).is_ok() {
            // When this fails the next sweep removes it.
            let _ = std::fs::remove_file(lock_path(&self.path));
        }
    }
}

/// Removes from `parent` the folders whose builders are gone; returns how many.
pub(crate) fn sweep(parent: &Path) -> Result<usize, ImagesError> {
    let mut swept = 0;
    for entry in std::fs::read_dir(parent).map_err(ImagesError::io(parent))? {
        let path = entry.map_err(ImagesError::io(parent))?.path();
        if path.extension().is_some_and(|extension| extension == "lock") {
            swept += usize::from(sweep_one(&path)?);
        }
    }
    Ok(swept)
}

fn sweep_one(lock_path: &Path) -> Result<bool, ImagesError> {
    // Another sweeper or the builder itself may be faster: nothing left to do.
    let Ok(lock) = File::open(lock_path) else { return Ok(false) };
    if lock.try_lock().is_err() {
        return Ok(false);
    }
    let folder = lock_path.with_extension("");
    let found = folder.exists();
    if found {
        std::fs::remove_dir_all(&folder).map_err(ImagesError::io(&folder))?;
    }
    // Whoever locked the same file meanwhile sees that it has no name any more.
    let _ = std::fs::remove_file(lock_path);
    Ok(found)
}

fn lock_path(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".lock");
    name.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parent() -> tempfile::TempDir {
        tempfile::tempdir().expect("a temporary folder")
    }

    #[test]
    fn can_sweep_what_a_dead_builder_left() {
        let parent = parent();
        let temp = TempDir::new(parent.path(), "kernel").unwrap();
        std::fs::write(temp.path().join("half"), "made").unwrap();
        let left = temp.path().to_owned();
        let TempDir { path, lock } = &temp;
        assert!(path.exists());
        lock.unlock().unwrap(); // as the kernel does for a killed process
        assert_eq!(sweep(parent.path()).unwrap(), 1);
        assert!(!left.exists());
        drop(temp);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn cannot_sweep_what_a_living_builder_has() {
        let parent = parent();
        let temp = TempDir::new(parent.path(), "kernel").unwrap();
        assert_eq!(sweep(parent.path()).unwrap(), 0);
        assert!(temp.path().exists());
    }

    #[test]
    fn cannot_sweep_what_an_orphaned_child_has() {
        let parent = parent();
        let temp = TempDir::new(parent.path(), "kernel").unwrap();
        let mut child =
            std::process::Command::new("sleep").arg("60").stdin(temp.hold().unwrap()).spawn().expect("sleep runs");
        let (folder, lock_file) = (temp.path().to_owned(), lock_path(temp.path()));
        let TempDir { lock, .. } = &temp;
        // The parent is gone, in effect: only the child's copy of the open file is left.
        let copy = lock.try_clone().unwrap();
        std::mem::forget(temp);
        drop(copy);
        assert_eq!(sweep(parent.path()).unwrap(), 0);
        assert!(folder.exists());
        child.kill().unwrap();
        child.wait().unwrap();
        assert!(lock_file.exists());
    }

    #[test]
    fn a_published_folder_is_whole_and_leaves_no_lock() {
        let parent = parent();
        let temp = TempDir::new(parent.path(), "x").unwrap();
        std::fs::write(temp.path().join("file"), "content").unwrap();
        let target = parent.path().join("target");
        temp.publish(&target).unwrap();
        assert_eq!(std::fs::read_to_string(target.join("file")).unwrap(), "content");
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 1);
    }
}
