//! The cache: entries addressed by the hash of what made them, built aside and then renamed.
//!
//! ```text
//! entries/KIND-KEY/   finished entries, each with manifest.json, contents.json and stamp.json
//! locks/KIND-KEY      held exclusively by a builder or cleaner, shared by those who use the entry
//! tmp/                entries that are being made or removed, each with a lock of its own
//! apt/                lists and partial downloads
//! logs/               what the last failed builds said
//! ```

use crate::contents::Contents;
use crate::lock::{self, Lock, TempDir};
use crate::manifest::{FORM, MANIFEST};
use crate::members::members;
use crate::soundness::{self, Soundness};
use crate::stamp::Stamp;
use crate::{ImagesError, Manifest, Progress, apt, durable, hash, root};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

/// How long one that found the lock taken for a moment leaves it alone.
const BETWEEN_TRIES: Duration = Duration::from_millis(2);

/// How long one that found an entry damaged waits for others to let go of it.
const OTHERS_LET_GO: Duration = Duration::from_secs(10);

/// Logs of failed builds that are kept.
const LOGS_KEPT: usize = 32;

/// The cache folder.
#[derive(Debug)]
pub(crate) struct Cache {
    root: PathBuf,
    progress: Progress,
}

/// A finished entry. As long as this value exists no cleaner removes the entry.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) path: PathBuf,
    pub(crate) manifest: Manifest,
    /// Shared.
    _use: Lock,
}

/// What lies at an entry's place.
enum Found {
    Nothing,
    /// Why it is not to be used.
    Damaged(String),
    Sound(Manifest),
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
        name_of(self.kind, &self.inputs)
    }
}

fn name_of(kind: &str, inputs: &serde_json::Value) -> String {
    format!("{kind}-{}", &hash::of(inputs.to_string().as_bytes())[..16])
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

/// What came of looking at an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedEntry {
    /// The entry.
    pub entry: CacheEntry,
    /// What is wrong with it, in words; none: it is as it was made.
    pub damage: Option<String>,
    /// A damaged one was removed; else a process uses it.
    pub removed: bool,
}

impl Cache {
    /// Opens the cache in the folder that the environment names, and sweeps what dead builders left.
    pub(crate) fn open(progress: &Progress) -> Result<Self, ImagesError> {
        Self::open_at(&root::by_environment(|name| std::env::var_os(name).map(PathBuf::from))?, progress)
    }

    pub(crate) fn open_at(root: &Path, progress: &Progress) -> Result<Self, ImagesError> {
        fs::create_dir_all(root).map_err(ImagesError::io(root))?;
        let root = root.canonicalize().map_err(ImagesError::io(root))?;
        root::check_private(&root)?;
        for folder in ["entries", "locks", "tmp", "apt", "logs"] {
            let folder = root.join(folder);
            fs::create_dir_all(&folder).map_err(ImagesError::io(&folder))?;
        }
        let cache = Self { root, progress: progress.clone() };
        cache.sweep()?;
        Ok(cache)
    }

    /// Removes what processes left that were ended, locks of entries that are no more, and old logs.
    fn sweep(&self) -> Result<(), ImagesError> {
        let swept = lock::sweep(&self.folder("tmp"))?;
        if swept.removed > 0 {
            self.progress
                .say(&format!("removed {} half-made cache entries of processes that were ended", swept.removed));
        }
        for why in swept.left {
            self.progress.say(&format!("a half-made cache entry cannot be removed: {why}"));
        }
        for lock in files(&self.folder("locks"))? {
            if !lock::exists(&self.entry_path(&lock.name)) {
                self.forget(&lock.name)?;
            }
        }
        let mut logs = files(&self.folder("logs"))?;
        logs.sort_by_key(|log| std::cmp::Reverse(log.written));
        for log in logs.iter().skip(LOGS_KEPT) {
            // Another process may be faster.
            let _ = fs::remove_file(self.folder("logs").join(&log.name));
        }
        Ok(())
    }

    /// Removes the lock of an entry that is no more, unless a process has it.
    fn forget(&self, name: &str) -> Result<(), ImagesError> {
        if let Some(lock) = Lock::try_exclusive(&self.lock_path(name))?
            && !lock::exists(&self.entry_path(name))
        {
            lock.remove().map_err(ImagesError::io(self.lock_path(name)))?;
        }
        Ok(())
    }

    pub(crate) fn folder(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    fn entry_path(&self, name: &str) -> PathBuf {
        self.root.join("entries").join(name)
    }

    fn lock_path(&self, name: &str) -> PathBuf {
        self.root.join("locks").join(name)
    }

    /// The entry of `recipe`; made by `build` in an empty folder when it is not there yet.
    pub(crate) fn entry(
        &self,
        recipe: &Recipe,
        build: impl Fn(&TempDir) -> Result<Manifest, ImagesError>,
    ) -> Result<Entry, ImagesError> {
        let name = recipe.name();
        loop {
            if let Some(entry) = self.existing(recipe)? {
                return Ok(entry);
            }
            let Some(lock) = Lock::try_exclusive(&self.lock_path(&name))? else {
                std::thread::sleep(BETWEEN_TRIES); // Others look as well; one of them will build.
                continue;
            };
            if lock::exists(&self.entry_path(&name)) {
                continue; // Another one was faster.
            }
            if let Err(error) = self.make(recipe, &name, &build) {
                // What is not there needs no lock; when this fails the next sweep removes it.
                let _ = lock.remove();
                return Err(error);
            }
        }
    }

    /// The entry of `recipe`, if it is there; a damaged one is removed.
    pub(crate) fn existing(&self, recipe: &Recipe) -> Result<Option<Entry>, ImagesError> {
        let (name, since) = (recipe.name(), Instant::now());
        let (lock_path, path) = (self.lock_path(&name), self.entry_path(&name));
        loop {
            // Shared, because a process that uses the finished entry keeps a shared lock for long.
            let lock = Lock::shared(&lock_path, &recipe.what, &self.progress)?;
            let why = match self.find(&path, &recipe.inputs)? {
                Found::Sound(manifest) => return Ok(Some(Entry { path, manifest, _use: lock })),
                Found::Nothing => return Ok(None),
                Found::Damaged(why) => why,
            };
            let stamp = Stamp::of(&members(&path)?);
            drop(lock);
            // Another process that saw the damage may have made the entry anew.
            if self.remove_if(&path, || members(&path).is_ok_and(|members| Stamp::of(&members) == stamp))? {
                self.progress
                    .say(&format!("the cache entry {name} ({}) was damaged and is removed: {why}", recipe.what));
                return Ok(None);
            }
            if since.elapsed() > OTHERS_LET_GO {
                return Err(ImagesError::DamagedInUse { what: recipe.what.clone(), path, why });
            }
            std::thread::sleep(OTHERS_LET_GO / 20);
        }
    }

    /// Looks at the entry at `path`, which has to be made of `inputs`.
    fn find(&self, path: &Path, inputs: &serde_json::Value) -> Result<Found, ImagesError> {
        let manifest = match Self::described(path) {
            Found::Sound(manifest) => manifest,
            other => return Ok(other),
        };
        if manifest.inputs != *inputs {
            return Ok(Found::Damaged("it was made of something else".into()));
        }
        if is_borrowed(path) {
            return Ok(Found::Sound(manifest));
        }
        Ok(match soundness::check(path, &manifest, &self.progress)? {
            Soundness::Sound => Found::Sound(manifest),
            Soundness::Damaged(why) => Found::Damaged(why),
        })
    }

    /// As [`Cache::find`], without a look at anything but the manifest.
    fn described(path: &Path) -> Found {
        match Manifest::read(path) {
            _ if !lock::exists(path) => Found::Nothing,
            Some(manifest) => Found::Sound(manifest),
            None => Found::Damaged("its manifest is missing or malformed".into()),
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
        manifest.form = FORM;
        manifest.build_ms = u64::try_from(since.elapsed().as_millis()).expect("no build takes that long");
        let path = temp.path().join(MANIFEST);
        let text = serde_json::to_vec_pretty(&manifest).expect("a manifest is plain data");
        fs::write(&path, text).map_err(ImagesError::io(&path))?;
        Contents::of(&members(temp.path())?, &|_| ())?.write(temp.path())?;
        // After a power cut an entry with its final name must not lack files, so they are flushed before the rename.
        durable::tree(temp.path())?;
        let target = self.entry_path(name);
        temp.publish(&target)?;
        durable::one(&self.folder("entries"))?;
        // An entry without a stamp is only looked at more closely.
        let _ = members(&target).and_then(|members| Stamp::of(&members).set(&target));
        Ok(())
    }

    fn check_space(&self, needed_bytes: u64) -> Result<(), ImagesError> {
        let data = nix::sys::statvfs::statvfs(&self.root).map_err(|error| ImagesError::io(&self.root)(error.into()))?;
        let free_bytes = data.blocks_available().saturating_mul(data.fragment_size());
        if free_bytes < needed_bytes { Err(ImagesError::DiskFull(self.root.clone())) } else { Ok(()) }
    }

    /// Whether the entry of `recipe` is there.
    pub(crate) fn has(&self, recipe: &Recipe) -> bool {
        let found = Self::described(&self.entry_path(&recipe.name()));
        matches!(found, Found::Sound(manifest) if manifest.inputs == recipe.inputs)
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
        self.remove_if(path, || true)
    }

    /// As [`Cache::remove`], if `still` says so while no process uses it. One that has gone already counts as removed.
    fn remove_if(&self, path: &Path, still: impl Fn() -> bool) -> Result<bool, ImagesError> {
        let name = path.file_name().expect("an entry has a name").to_string_lossy().into_owned();
        let Some(lock) = Lock::try_exclusive(&self.lock_path(&name))? else { return Ok(false) };
        if lock::exists(path) {
            if !still() {
                return Ok(false);
            }
            // It has another name before its first file is removed, and keeps that after a kill or a crash of the host.
            let taken = TempDir::take(&self.folder("tmp"), &name, path)?;
            durable::one(&self.folder("entries"))?;
            taken.delete()?;
        }
        lock.remove().map_err(ImagesError::io(self.lock_path(&name)))?;
        Ok(true)
    }

    /// Compares every entry with the hashes of its contents, and removes damaged ones that no process uses.
    pub(crate) fn verify(&self) -> Result<Vec<VerifiedEntry>, ImagesError> {
        let entries = self.list()?;
        let step = self.progress.step("check the cache", entries.iter().map(|entry| entry.size_bytes).sum());
        let verified = entries.into_iter().map(|entry| self.verify_one(entry, &|bytes| step.advance(bytes)));
        let verified: Result<Vec<_>, _> = verified.filter_map(Result::transpose).collect();
        step.done();
        verified
    }

    /// None: the entry has gone since.
    fn verify_one(&self, entry: CacheEntry, read: &(dyn Fn(u64) + Sync)) -> Result<Option<VerifiedEntry>, ImagesError> {
        let lock = Lock::shared(&self.lock_path(&entry.name), &entry.what, &self.progress)?;
        let damage = match Self::described(&entry.path) {
            Found::Nothing => return Ok(None),
            Found::Damaged(why) => Some(why),
            Found::Sound(manifest) => {
                let kind = entry.name.split('-').next().unwrap_or_default();
                if name_of(kind, &manifest.inputs) == entry.name {
                    match soundness::check_contents(&entry.path, &manifest, read)? {
                        Soundness::Sound => None,
                        Soundness::Damaged(why) => Some(why),
                    }
                } else {
                    Some("it was made of something else".into())
                }
            }
        };
        let stamp = Stamp::of(&members(&entry.path)?);
        drop(lock);
        let is_same = || members(&entry.path).is_ok_and(|members| Stamp::of(&members) == stamp);
        let removed = damage.is_some() && self.remove_if(&entry.path, is_same)?;
        Ok(Some(VerifiedEntry { entry, damage, removed }))
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

    /// Removes the entries that `keep` does not want and that no process uses.
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
        let Some(_lock) = Lock::try_exclusive(&folder.join(apt::LOCK))? else { return Ok(()) };
        let entries = fs::read_dir(&folder).map_err(ImagesError::io(&folder))?.flatten();
        // The lock's file stays, for its folder is apt's.
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

/// Whether an entry is a link to one of another cache: whose that is looks after it, and this one may not be able to write there.
fn is_borrowed(path: &Path) -> bool {
    path.is_symlink()
}

/// A file in one of the cache's own folders.
struct OwnFile {
    name: String,
    written: SystemTime,
}

fn files(folder: &Path) -> Result<Vec<OwnFile>, ImagesError> {
    let entries = fs::read_dir(folder).map_err(ImagesError::io(folder))?.flatten();
    let file = |entry: fs::DirEntry| OwnFile {
        name: entry.file_name().to_string_lossy().into_owned(),
        written: entry.metadata().and_then(|data| data.modified()).unwrap_or(SystemTime::UNIX_EPOCH),
    };
    Ok(entries.map(file).collect())
}

#[cfg(test)]
#[path = "cache_tests.rs"]
mod tests;
