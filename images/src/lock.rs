//! The one scheme of locks between processes: a lock is an open file (`flock(2)`), so it ends with the process that has it,
//! however that process ends.
//!
//! The only holder of a lock may remove its file, so that no file of a lock stays behind. Another process may have opened the
//! file before that, and would get a lock which no third process can find. So each process that gets a lock checks whether
//! the file still has a name, and begins again if not.

use crate::{ImagesError, Progress};
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A lock, held until it is dropped.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    path: PathBuf,
}

/// Whom a lock lets in.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Shared,
    Exclusive,
}

impl Lock {
    /// Takes the lock at `path` together with others. While a process has it alone, waits, and says that it waits for `what`.
    pub(crate) fn shared(path: &Path, what: &str, progress: &Progress) -> Result<Self, ImagesError> {
        Self::wait(path, Kind::Shared, what, progress)
    }

    /// Takes the lock at `path` for this process alone. While others have it, waits, and says that it waits for `what`.
    pub(crate) fn exclusive(path: &Path, what: &str, progress: &Progress) -> Result<Self, ImagesError> {
        Self::wait(path, Kind::Exclusive, what, progress)
    }

    /// Takes the lock at `path` for this process alone; none: another process has it.
    pub(crate) fn try_exclusive(path: &Path) -> Result<Option<Self>, ImagesError> {
        loop {
            let file = open(path)?;
            match file.try_lock() {
                Ok(()) if has_a_name(&file) => return Ok(Some(Self { file, path: path.into() })),
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => return Ok(None),
                Err(TryLockError::Error(source)) => return Err(ImagesError::io(path)(source)),
            }
        }
    }

    fn wait(path: &Path, kind: Kind, what: &str, progress: &Progress) -> Result<Self, ImagesError> {
        loop {
            let file = open(path)?;
            let locked = if kind == Kind::Shared { file.try_lock_shared() } else { file.try_lock() };
            let locked = match locked {
                Err(TryLockError::WouldBlock) => {
                    progress.say(&format!("waiting for another process that makes {what}"));
                    if kind == Kind::Shared { file.lock_shared() } else { file.lock() }
                }
                Err(TryLockError::Error(source)) => Err(source),
                Ok(()) => Ok(()),
            };
            locked.map_err(ImagesError::io(path))?;
            if has_a_name(&file) {
                return Ok(Self { file, path: path.into() });
            }
        }
    }

    /// A handle that keeps the lock: give it to children, as their standard input.
    pub(crate) fn hold(&self) -> Result<File, ImagesError> {
        self.file.try_clone().map_err(ImagesError::io(&self.path))
    }

    /// Removes the lock's file. Only the sole holder of the lock may call this.
    pub(crate) fn remove(self) -> io::Result<()> {
        std::fs::remove_file(&self.path)
    }
}

fn open(path: &Path) -> Result<File, ImagesError> {
    OpenOptions::new().create(true).truncate(false).read(true).write(true).open(path).map_err(ImagesError::io(path))
}

fn has_a_name(file: &File) -> bool {
    file.metadata().is_ok_and(|data| data.nlink() > 0)
}

/// A folder that exists as long as its builder runs. Children that inherit [`TempDir::hold`] count as the builder.
#[derive(Debug)]
pub(crate) struct TempDir {
    path: PathBuf,
    /// None once the folder is gone.
    lock: Option<Lock>,
}

impl TempDir {
    /// Makes `parent/NAME.PID.N`, guarded by a lock file beside it.
    pub(crate) fn new(parent: &Path, name: &str) -> Result<Self, ImagesError> {
        Self::with(parent, name, |path| std::fs::create_dir(path).map_err(ImagesError::io(path)))
    }

    /// Moves the folder `from` to `parent/NAME.PID.N`, where it is removed, if not by this process then by the next sweep.
    pub(crate) fn take(parent: &Path, name: &str, from: &Path) -> Result<Self, ImagesError> {
        Self::with(parent, name, |path| std::fs::rename(from, path).map_err(ImagesError::io(from)))
    }

    fn with(parent: &Path, name: &str, fill: impl Fn(&Path) -> Result<(), ImagesError>) -> Result<Self, ImagesError> {
        for number in 0_u32.. {
            let path = parent.join(format!("{name}.{}.{number}", std::process::id()));
            if let Some(lock) = Lock::try_exclusive(&lock_path(&path))?
                && !exists(&path)
            {
                // Built before it is filled: whatever fails, its lock's file goes away.
                let temp = Self { path, lock: Some(lock) };
                fill(&temp.path)?;
                return Ok(temp);
            }
        }
        unreachable!("a process makes fewer than four billion folders")
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// A handle that keeps the folder from being swept: give it to children, as their standard input.
    pub(crate) fn hold(&self) -> Result<File, ImagesError> {
        self.lock.as_ref().expect("it lives as long as the folder").hold()
    }

    /// Turns the folder into `target`, all at once.
    pub(crate) fn publish(self, target: &Path) -> Result<(), ImagesError> {
        std::fs::rename(&self.path, target).map_err(ImagesError::io(target))
        // Drop removes the lock file; the folder is no longer there.
    }

    /// Removes the folder with all that is in it.
    pub(crate) fn delete(mut self) -> Result<(), ImagesError> {
        self.clear().map_err(ImagesError::io(&self.path))
    }

    fn clear(&mut self) -> io::Result<()> {
        if exists(&self.path) {
            std::fs::remove_dir_all(&self.path)?;
        }
        self.lock.take().map_or(Ok(()), Lock::remove)
    }
}

impl Drop for TempDir {
    fn drop(&mut self) {
        // When this fails the next sweep removes it.
        let _ = self.clear();
    }
}

/// Whether there is anything of this name; a link that leads nowhere is something.
pub(crate) fn exists(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

/// The result of a sweep.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Swept {
    /// Folders that were removed.
    pub(crate) removed: usize,
    /// Those that could not be, each with what the system said.
    pub(crate) left: Vec<String>,
}

/// Removes from `parent` the folders whose builders are gone.
pub(crate) fn sweep(parent: &Path) -> Result<Swept, ImagesError> {
    let mut swept = Swept::default();
    for entry in std::fs::read_dir(parent).map_err(ImagesError::io(parent))? {
        let path = entry.map_err(ImagesError::io(parent))?.path();
        // A builder makes the lock before the folder, so a folder without a lock has no builder any more.
        let folder =
            if path.extension().is_some_and(|extension| extension == LOCK) { path.with_extension("") } else { path };
        match sweep_one(&folder) {
            Ok(removed) => swept.removed += usize::from(removed),
            Err(error) => swept.left.push(error.to_string()),
        }
    }
    Ok(swept)
}

fn sweep_one(folder: &Path) -> Result<bool, ImagesError> {
    let lock_path = lock_path(folder);
    // Another sweeper may have been faster: nothing left to do.
    if !exists(folder) && !exists(&lock_path) {
        return Ok(false);
    }
    let Some(lock) = Lock::try_exclusive(&lock_path)? else { return Ok(false) };
    let found = exists(folder);
    TempDir { path: folder.into(), lock: Some(lock) }.delete()?;
    Ok(found)
}

/// Ending of the names of folders' locks.
const LOCK: &str = "lock";

fn lock_path(folder: &Path) -> PathBuf {
    let mut name = folder.as_os_str().to_owned();
    name.push(".");
    name.push(LOCK);
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
        assert!(left.exists());
        temp.lock.as_ref().unwrap().file.unlock().unwrap(); // as the kernel does for a killed process
        assert_eq!(sweep(parent.path()).unwrap().removed, 1);
        assert!(!left.exists());
        drop(temp);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn cannot_sweep_what_a_living_builder_has() {
        let parent = parent();
        let temp = TempDir::new(parent.path(), "kernel").unwrap();
        assert_eq!(sweep(parent.path()).unwrap(), Swept::default());
        assert!(temp.path().exists());
    }

    #[test]
    fn cannot_sweep_what_an_orphaned_child_has() {
        let parent = parent();
        let temp = TempDir::new(parent.path(), "kernel").unwrap();
        let mut child =
            std::process::Command::new("sleep").arg("60").stdin(temp.hold().unwrap()).spawn().expect("sleep runs");
        let (folder, lock_file) = (temp.path().to_owned(), lock_path(temp.path()));
        // The parent is gone, in effect: only the child's copy of the open file is left.
        let mut temp = std::mem::ManuallyDrop::new(temp);
        drop(temp.lock.take());
        assert_eq!(sweep(parent.path()).unwrap(), Swept::default());
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

    #[test]
    fn a_folder_without_a_lock_has_no_builder() {
        let parent = parent();
        std::fs::create_dir(parent.path().join("kernel.1.0")).unwrap();
        std::fs::write(parent.path().join("kernel.1.0/half"), "made").unwrap();
        assert_eq!(sweep(parent.path()).unwrap().removed, 1);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_is_taken_out_of_the_way_goes_with_its_lock() {
        let parent = parent();
        for name in ["folder", "link"] {
            let from = parent.path().join(name);
            match name {
                "folder" => std::fs::create_dir(&from).unwrap(),
                _ => std::os::unix::fs::symlink("/nonexistent", &from).unwrap(),
            }
            let taken = TempDir::take(parent.path(), "x", &from).unwrap();
            assert!(exists(taken.path()) && !exists(&from));
            taken.delete().unwrap();
        }
        assert!(TempDir::take(parent.path(), "x", &parent.path().join("missing")).is_err());
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_lock_whose_file_was_removed_is_no_lock() {
        let parent = parent();
        let path = parent.path().join("lock");
        let waiting_for_it = open(&path).unwrap();
        Lock::try_exclusive(&path).unwrap().unwrap().remove().unwrap();
        waiting_for_it.try_lock().unwrap();
        assert!(!has_a_name(&waiting_for_it));
        // The next one gets a lock that others can see.
        let lock = Lock::shared(&path, "it", &Progress::silent()).unwrap();
        assert!(path.exists());
        assert!(Lock::try_exclusive(&path).unwrap().is_none());
        drop(lock);
        assert!(Lock::try_exclusive(&path).unwrap().is_some());
    }

    #[test]
    fn of_many_that_take_and_remove_a_lock_one_has_it_at_a_time() {
        use std::sync::atomic::{AtomicU32, Ordering};
        let parent = parent();
        let path = parent.path().join("lock");
        let inside = AtomicU32::new(0);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..200 {
                        let lock = Lock::exclusive(&path, "it", &Progress::silent()).unwrap();
                        assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0, "two have the lock");
                        inside.fetch_sub(1, Ordering::SeqCst);
                        lock.remove().unwrap();
                    }
                });
            }
        });
    }
}
