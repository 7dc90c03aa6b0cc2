//! The cache: entries addressed by the hash of what made them, built aside and then renamed.
//!
//! ```text
//! entries/KIND-KEY/   finished entries, each with manifest.json
//! locks/KIND-KEY      held exclusively by a builder or cleaner, shared by those who use the entry
//! tmp/                entries being made, each with a lock of its own
//! apt/                lists and partial downloads
//! logs/               what failed builds said
//! ```

use crate::lock::{self, TempDir};
use crate::{ImagesError, Manifest, Progress, apt, hash};
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// Environment variable that names the cache folder.
pub const CACHE_VARIABLE: &str = "RIG_CACHE";

/// How long one that found the lock taken for a moment leaves it alone.
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

const MANIFEST: &str = "manifest.json";

/// The cache folder.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    progress: Progress,
}

/// A finished entry. While this value lives no cleaner removes the entry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) manifest: Manifest,
    /// Shared lock, released when the file is closed.
    _use: File,
}

/// What makes an entry, and so its address.
#[derive(Debug)]
pub(crate) struct Recipe {
    /// Short word that starts the entry's name.
    pub(crate) kind: &'static str,
    /// The entry in words.
    pub(crate) what: String,
    /// All that decides the content; hashed.
    pub(crate) inputs: serde_json::Value,
    /// Free space without which the build is not even begun.
    pub(crate) space_bytes: u64,
}

impl Recipe {
    /// Name of the entry's folder.
    pub(crate) fn name(&self) -> String {
        format!("{}-{}", self.kind, &hash::of(self.inputs.to_string().as_bytes())[..16])
    }
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

impl Cache {
    /// Opens the cache in the folder that the environment names, and sweeps what dead builders left.
    pub(crate) fn open(progress: &Progress) -> Result<Self, ImagesError> {
        Self::open_at(&default_root(|name| std::env::var_os(name).map(PathBuf::from)), progress)
    }

    pub(crate) fn open_at(root: &Path, progress: &Progress) -> Result<Self, ImagesError> {
        for folder in ["entries", "locks", "tmp", "apt", "logs"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(ImagesError::io(&folder))?;
        }
        let root = root.canonicalize().map_err(ImagesError::io(root))?;
        let swept = lock::sweep(&root.join("tmp"))?;
        if swept > 0 {
            progress.say(&format!("removed {swept} half-made cache entries of builders that were stopped"));
        }
        Ok(Self { root, progress: progress.clone() })
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// The entry of `recipe`; made by `build` in an empty folder when it is not there yet.
    pub(crate) fn entry(
        &self,
        recipe: &Recipe,
        build: impl Fn(&TempDir) -> Result<Manifest, ImagesError>,
    ) -> Result<Entry, ImagesError> {
        let name = recipe.name();
        let lock_path = self.root.join("locks").join(&name);
        let file = lock::open(&lock_path)?;
        loop {
            // Shared, because whoever uses the finished entry keeps a shared lock for long.
            lock::shared(&file, &lock_path, &recipe.what, &self.progress)?;
            if let Some(manifest) = self.load(&name) {
                return Ok(Entry { path: self.root.join("entries").join(&name), manifest, _use: file });
            }
            file.unlock().map_err(ImagesError::io(&lock_path))?;
            if file.try_lock().is_err() {
                std::thread::sleep(BETWEEN_TRIES); // Others look as well; one of them will build.
                continue;
            }
            if self.load(&name).is_none() {
                self.make(recipe, &name, &build)?;
            }
            file.unlock().map_err(ImagesError::io(&lock_path))?;
        }
    }

    fn make(
        &self,
        recipe: &Recipe,
        name: &str,
        build: impl Fn(&TempDir) -> Result<Manifest, ImagesError>,
    ) -> Result<(), ImagesError> {
        let since = Instant::now();
        self.check_space(recipe.space_bytes)?;
        let temp = TempDir::new(&self.root.join("tmp"), name)?;
        let mut manifest = build(&temp)?;
        manifest.what.clone_from(&recipe.what);
        manifest.inputs.clone_from(&recipe.inputs);
        manifest.build_ms = u64::try_from(since.elapsed().as_millis()).expect("no build takes that long");
        let path = temp.path().join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data");
        fs::write(&path, text).map_err(ImagesError::io(&path))?;
        let target = self.root.join("entries").join(name);
        if target.exists() {
            self.progress.say(&format!("the cache entry {name} was damaged and is replaced"));
            fs::remove_dir_all(&target).map_err(ImagesError::io(&target))?;
        }
        temp.publish(&target)
    }

    fn check_space(&self, needed_bytes: u64) -> Result<(), ImagesError> {
        let data = rustix::fs::statvfs(&self.root).map_err(|error| ImagesError::io(&self.root)(error.into()))?;
        let free_bytes = data.f_bavail.saturating_mul(data.f_frsize);
        if free_bytes < needed_bytes { Err(ImagesError::DiskFull(self.root.clone())) } else { Ok(()) }
    }

    fn load(&self, name: &str) -> Option<Manifest> {
        Manifest::read(&self.root.join("entries").join(name))
    }

    /// Whether the entry of `recipe` is there.
    pub(crate) fn has(&self, recipe: &Recipe) -> bool {
        self.load(&recipe.name()).is_some()
    }

    /// Removes the oldest entries of a kind, unless they are in use, until `kept` are left.
    pub(crate) fn retire(&self, kind: &str, kept: usize) -> Result<(), ImagesError> {
        let folder = self.root.join("entries");
        let made = |path: &PathBuf| path.join(MANIFEST).metadata().and_then(|data| data.modified()).ok();
        let paths = fs::read_dir(&folder).map_err(ImagesError::io(&folder))?.flatten().map(|entry| entry.path());
        let is_kind = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(kind));
        let mut paths: Vec<PathBuf> = paths.filter(is_kind).collect();
        paths.sort_by_key(made);
        let surplus = paths.len().saturating_sub(kept);
        paths.iter().take(surplus).try_for_each(|path| self.remove(path).map(|_| ()))
    }

    /// Removes an entry; says whether it did, for one in use stays.
    pub(crate) fn remove(&self, path: &Path) -> Result<bool, ImagesError> {
        let name = path.file_name().expect("an entry has a name");
        let file = lock::open(&self.root.join("locks").join(name))?;
        if file.try_lock().is_err() {
            return Ok(false);
        }
        if path.exists() {
            fs::remove_dir_all(path).map_err(ImagesError::io(path))?;
        }
        Ok(true)
    }

    /// All finished entries, oldest first.
    pub(crate) fn list(&self) -> Result<Vec<CacheEntry>, ImagesError> {
        let folder = self.root.join("entries");
        let mut entries = Vec::new();
        for entry in fs::read_dir(&folder).map_err(ImagesError::io(&folder))? {
            let path = entry.map_err(ImagesError::io(&folder))?.path();
            entries.extend(describe(&path));
        }
        entries.sort_by_key(|entry| entry.made);
        Ok(entries)
    }

    /// Removes the entries that `keep` does not want and that nobody uses.
    pub(crate) fn clean(&self, keep: impl Fn(&CacheEntry) -> bool) -> Result<Vec<CacheEntry>, ImagesError> {
        let mut removed = Vec::new();
        for entry in self.list()?.into_iter().filter(|entry| !keep(entry)) {
            if self.remove(&entry.path)? {
                removed.push(entry);
            } else {
                self.progress.say(&format!("{} is in use and stays", entry.what));
            }
        }
        self.clear_apt()?;
        Ok(removed)
    }
}

impl Cache {
    /// Removes package lists and partial downloads, unless a download is under way.
    fn clear_apt(&self) -> Result<(), ImagesError> {
        let folder = self.folder("apt");
        let lock = lock::open(&folder.join(apt::LOCK))?;
        if lock.try_lock().is_err() {
            return Ok(());
        }
        let entries = fs::read_dir(&folder).map_err(ImagesError::io(&folder))?.flatten();
        // The lock's file stays: another process may be waiting for it.
        for path in entries.filter(|entry| entry.file_name() != apt::LOCK).map(|entry| entry.path()) {
            let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
            removed.map_err(ImagesError::io(&path))?;
        }
        Ok(())
    }
}

fn describe(path: &Path) -> Option<CacheEntry> {
    let manifest = Manifest::read(path);
    Some(CacheEntry {
        name: path.file_name()?.to_string_lossy().into_owned(),
        what: manifest.map_or_else(|| "damaged".into(), |manifest| manifest.what),
        size_bytes: size_of(path),
        made: path.join(MANIFEST).metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH),
        path: path.to_owned(),
    })
}

/// Bytes that the files below `folder` take on disk; what vanishes meanwhile counts as nothing.
fn size_of(folder: &Path) -> u64 {
    use std::os::unix::fs::MetadataExt;
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    let size = |entry: fs::DirEntry| match entry.metadata() {
        Ok(data) if data.is_dir() => size_of(&entry.path()),
        Ok(data) => data.blocks() * 512,
        Err(_) => 0,
    };
    entries.flatten().map(size).sum()
}

fn default_root(variable: impl Fn(&str) -> Option<PathBuf>) -> PathBuf {
    let variable = |name| variable(name).filter(|path| !path.as_os_str().is_empty());
    if let Some(root) = variable(CACHE_VARIABLE) {
        return root;
    }
    // The XDG base directory specification wants relative paths ignored.
    let xdg = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute());
    let home = || variable("HOME").unwrap_or_else(std::env::temp_dir).join(".cache");
    xdg.unwrap_or_else(home).join("seamrig")
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
