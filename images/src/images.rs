//! The builder as the rig sees it.

use crate::cache::{Cache, Entry, Recipe};
use crate::initramfs::InitramfsContents;
use crate::{
    Artifact, CacheEntry, DebianKernel, ImagesError, Kernel, KernelBench, KernelRequest, Manifest, Progress, Remade,
    ToolRoot, Userspace, VerifiedEntry, Workbench, hash, kernel, parts, toolroot, userspace,
};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

/// The builder and its cache. Open it once per process; `&self` methods may be called from several threads.
///
/// What it handed out stays in the cache at least as long as this value exists.
#[derive(Debug)]
pub struct Images {
    cache: Cache,
    progress: Progress,
    handed_out: Mutex<HandedOut>,
}

#[derive(Debug, Default)]
struct HandedOut {
    /// Kept for their locks.
    entries: Vec<Entry>,
    artifacts: Vec<Artifact>,
    warnings: Vec<String>,
}

impl Images {
    /// Opens the cache (`RIG_CACHE`, else `$XDG_CACHE_HOME/seamrig`, else `~/.cache/seamrig`).
    pub fn open(progress: Progress) -> Result<Self, ImagesError> {
        Ok(Self { cache: Cache::open(&progress)?, progress, handed_out: Mutex::default() })
    }

    pub(crate) fn cache(&self) -> &Cache {
        &self.cache
    }

    pub(crate) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// The folder that everything is kept in.
    pub fn cache_folder(&self) -> PathBuf {
        self.cache.folder("")
    }

    /// QEMU and what it needs. The first call downloads it (38 MB).
    pub fn tool_root(&self) -> Result<ToolRoot, ImagesError> {
        let entry = toolroot::entry(&self.cache, &self.progress)?;
        let root = ToolRoot::new(&entry);
        self.hand_out(entry);
        Ok(root)
    }

    /// A kernel built from Debian's source package. The first call takes minutes; a variant with edits takes seconds.
    pub fn kernel(&self, request: &KernelRequest) -> Result<Kernel, ImagesError> {
        let (kernel, entry) = kernel::build(&self.cache, &self.progress, request)?;
        self.hand_out(entry);
        Ok(kernel)
    }

    /// One of Debian's own kernels. It comes without symbols: see [`Images::system_map`].
    pub fn debian_kernel(&self, wanted: DebianKernel) -> Result<Kernel, ImagesError> {
        let (mut kernel, entry) = kernel::debian::provide(&self.cache, &self.progress, wanted)?;
        self.add(&[kernel::debian::artifact(&entry, &kernel)?]);
        self.hand_out(entry);
        kernel.system_map = self.system_map(&kernel)?;
        Ok(kernel)
    }

    /// The symbols that [`Images::keep_system_map`] kept of a kernel, if it did.
    pub fn system_map(&self, kernel: &Kernel) -> Result<Option<PathBuf>, ImagesError> {
        let Some(entry) = self.cache.existing(&symbols_recipe(kernel)?)? else { return Ok(None) };
        let path = entry.path.join(SYSTEM_MAP);
        self.hand_out(entry);
        Ok(Some(path))
    }

    /// Keeps the symbols of a kernel that has none beside it, in the form of a `System.map`, as the kernel itself printed them
    /// when it ran (`/proc/kallsyms`, without address randomisation).
    pub fn keep_system_map(&self, kernel: &Kernel, text: &[u8]) -> Result<PathBuf, ImagesError> {
        let entry = self.cache.entry(&symbols_recipe(kernel)?, |temp| {
            let path = temp.path().join(SYSTEM_MAP);
            std::fs::write(&path, text).map_err(ImagesError::io(&path))?;
            let artifacts = vec![Artifact::of_file(temp.path(), SYSTEM_MAP, &kernel.release)?];
            Ok(Manifest { artifacts, ..Manifest::default() })
        })?;
        let path = entry.path.join(SYSTEM_MAP);
        self.hand_out(entry);
        Ok(path)
    }

    /// Whether [`Images::kernel`] would answer at once.
    pub fn has_kernel(&self, request: &KernelRequest) -> bool {
        self.cache.has(&kernel::recipe(request))
    }

    /// The text of a file of the kernel's source, such as `arch/x86/virt/vmx/tdx/seamldr.c`.
    pub fn kernel_source(&self, file: &str) -> Result<String, ImagesError> {
        kernel::source_text(&self.cache, &self.progress, file)
    }

    /// The folder of the kernel's unmodified source. It is a part of the cache: read it only.
    pub fn kernel_source_folder(&self) -> Result<PathBuf, ImagesError> {
        kernel::source_folder(&self.cache, &self.progress)
    }

    /// A build tree in which `files` of the usual kernel's source may be changed, again and again; it is no part of the cache.
    pub fn workbench(&self, files: &[&str]) -> Result<Workbench, ImagesError> {
        Workbench::open(&self.cache, &self.progress, files)
    }

    /// A source whose text changes again and again, in `folder`: the rig's own, or what the caller puts there.
    pub fn kernel_bench(&self, folder: &Path, is_own: bool) -> Result<KernelBench, ImagesError> {
        let open = if is_own { KernelBench::own } else { KernelBench::open };
        open(&self.cache, &self.progress, folder)
    }

    /// Builds the kernel of the bench's source as it lies there now. `source` is that text's name: no other text may have it.
    pub fn remake(&self, bench: &KernelBench, source: &str) -> Result<Remade, ImagesError> {
        match bench.remake(&self.cache, &self.progress, source)? {
            Ok(entry) => {
                let kernel = Kernel::from_tree(&entry.path.join("out"))?;
                self.hand_out(entry);
                Ok(Remade::Kernel(kernel))
            }
            Err(error) => Ok(Remade::Refused(error)),
        }
    }

    /// The kernel that was built of the source with this name, if the cache has it.
    pub fn remade(&self, source: &str) -> Result<Option<Kernel>, ImagesError> {
        let Some((kernel, entry)) = kernel::remade(&self.cache, source)? else { return Ok(None) };
        self.hand_out(entry);
        Ok(Some(kernel))
    }

    /// Builds out-of-tree modules in `dir` (Kbuild, `M=dir`) against `kernel`; returns its `.ko` files.
    ///
    /// Neither `dir` nor the kernel's tree is written to. A tree that somebody else built takes the compiler that built it.
    pub fn build_modules(&self, kernel: &Kernel, dir: &Path) -> Result<Vec<PathBuf>, ImagesError> {
        let entry = kernel::build_modules(&self.cache, &self.progress, kernel, dir)?;
        let modules = entry.manifest.artifacts.iter().filter_map(|artifact| artifact.path.clone()).collect();
        self.hand_out(entry);
        Ok(modules)
    }

    /// These packages of Debian's, and all that they depend on, as a root file system. The first call downloads them.
    pub fn userspace(&self, packages: &[String]) -> Result<Userspace, ImagesError> {
        let entry = userspace::entry(&self.cache, &self.progress, packages)?;
        let userspace = Userspace::new(&entry);
        self.hand_out(entry);
        Ok(userspace)
    }

    /// An initramfs: `/init` is `agent`, `modules` go to `/lib/modules/rig/NAME.ko`, `extra` are (path, content); those below
    /// `/bin` and `/client` are programs. All of it lies in the userspace, if there is one.
    pub fn initramfs(
        &self,
        agent: &Path,
        modules: &[PathBuf],
        extra: &[(String, Vec<u8>)],
        userspace: Option<&Userspace>,
    ) -> Result<PathBuf, ImagesError> {
        let mut contents = InitramfsContents::read(agent, modules, extra)?;
        if let Some(Userspace { archive }) = userspace {
            contents = contents.over(std::fs::read(archive).map_err(ImagesError::io(archive))?);
        }
        let archive = contents.archive();
        let inputs = json!({ "sha256": hash::of(&archive) });
        let space_bytes = archive.len() as u64;
        let recipe = Recipe { kind: "initramfs", what: "initramfs".into(), inputs, space_bytes };
        let entry = self.cache.entry(&recipe, |temp| {
            let path = temp.path().join(INITRAMFS);
            std::fs::write(&path, &archive).map_err(ImagesError::io(&path))?;
            let artifacts = vec![Artifact::of_file(temp.path(), INITRAMFS, "")?];
            Ok(Manifest { artifacts, ..Manifest::default() })
        })?;
        let path = entry.path.join(INITRAMFS);
        self.hand_out(entry);
        self.cache.retire("initramfs", INITRAMFS_KEPT)?;
        Ok(path)
    }

    /// A snapshot of a booted machine, addressed by all that decided how it booted: its folder. When there is none, `make`
    /// makes its files in an empty folder; what `make` fails with comes back as it is.
    pub fn snapshot<E>(
        &self,
        what: &str,
        inputs: &serde_json::Value,
        make: impl Fn(&Path) -> Result<(), E>,
    ) -> Result<Result<PathBuf, E>, ImagesError> {
        let recipe =
            Recipe { kind: SNAPSHOT, what: what.to_owned(), inputs: inputs.clone(), space_bytes: SNAPSHOT_BYTES };
        let failure = std::cell::RefCell::new(None);
        let entry = self.cache.entry(&recipe, |temp| match make(temp.path()) {
            Ok(()) => Ok(Manifest::default()),
            Err(error) => {
                failure.replace(Some(error));
                Err(ImagesError::Unmade(what.to_owned()))
            }
        });
        if let Some(error) = failure.into_inner() {
            return Ok(Err(error));
        }
        let entry = entry?;
        let path = entry.path.clone();
        self.hand_out(entry);
        self.cache.retire(SNAPSHOT, SNAPSHOTS_KEPT)?;
        Ok(Ok(path))
    }

    /// Removes a snapshot that turned out to be damaged; says whether it could, for one in use stays.
    pub fn drop_snapshot(&self, folder: &Path) -> Result<bool, ImagesError> {
        self.handed_out.lock().expect("nobody panics with this lock").entries.retain(|entry| entry.path != folder);
        self.cache.remove(folder)
    }

    /// The guest agent, a static program; built by cargo when its sources changed.
    pub fn agent(&self) -> Result<PathBuf, ImagesError> {
        self.part(&parts::AGENT)
    }

    /// `rig hw` as a static program of its own, for hosts that have no Rust; built by cargo when its sources changed.
    pub fn hw(&self) -> Result<PathBuf, ImagesError> {
        self.part(&parts::HW)
    }

    /// The QEMU plugin, a shared library; built by cargo when its sources changed.
    pub fn plugin(&self) -> Result<PathBuf, ImagesError> {
        let path = self.part(&parts::PLUGIN)?;
        self.tool_root()?.check_loadable(&path)?;
        Ok(path)
    }

    fn part(&self, part: &parts::Part) -> Result<PathBuf, ImagesError> {
        let path = parts::provide(part, &self.cache.folder("logs"), &self.progress)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let sha256 = hash::of_file(&path)?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        self.add(&[Artifact { name, version, sha256, path: Some(path.clone()) }]);
        Ok(path)
    }

    fn hand_out(&self, entry: Entry) {
        self.add(&entry.manifest.artifacts);
        let mut handed_out = self.handed_out.lock().expect("nobody panics with this lock");
        for warning in &entry.manifest.warnings {
            if !handed_out.warnings.contains(warning) {
                self.progress.say(&format!("warning: {warning}"));
                handed_out.warnings.push(warning.clone());
            }
        }
        handed_out.entries.push(entry);
    }

    fn add(&self, artifacts: &[Artifact]) {
        let mut handed_out = self.handed_out.lock().expect("nobody panics with this lock");
        for artifact in artifacts {
            if !handed_out.artifacts.contains(artifact) {
                handed_out.artifacts.push(artifact.clone());
            }
        }
    }

    /// All that was handed out by this value so far: package, version, sha256.
    pub fn manifest(&self) -> Vec<Artifact> {
        self.handed_out.lock().expect("nobody panics with this lock").artifacts.clone()
    }

    /// What was noticed on the way, such as a pinned version that has left the archive.
    pub fn warnings(&self) -> Vec<String> {
        self.handed_out.lock().expect("nobody panics with this lock").warnings.clone()
    }

    /// Entries of the cache, oldest first.
    pub fn list(&self) -> Result<Vec<CacheEntry>, ImagesError> {
        self.cache.list()
    }

    /// Reads all entries of the cache and compares them with the hashes of what was made. Damaged ones that no process
    /// uses are removed.
    pub fn verify(&self) -> Result<Vec<VerifiedEntry>, ImagesError> {
        self.cache.verify()
    }

    /// Removes entries that no process uses and for which `keep` says no; returns those removed.
    pub fn clean(&self, keep: impl Fn(&CacheEntry) -> bool) -> Result<Vec<CacheEntry>, ImagesError> {
        self.cache.clean(keep)
    }
}

/// Name of the symbols' file in its entry.
const SYSTEM_MAP: &str = "System.map";

fn symbols_recipe(kernel: &Kernel) -> Result<Recipe, ImagesError> {
    let inputs = json!({ "sha256": hash::of_file(&kernel.bzimage)? });
    Ok(Recipe {
        kind: "symbols",
        what: format!("symbols of Linux {}", kernel.release),
        inputs,
        space_bytes: 20_000_000,
    })
}

/// Archives kept: each change of the agent makes a new one.
const INITRAMFS_KEPT: usize = 8;

/// How the names of snapshots begin.
const SNAPSHOT: &str = "snapshot";

/// Snapshots kept: 40 MB each at 4 vCPUs.
const SNAPSHOTS_KEPT: usize = 16;

/// Free space without which no snapshot is begun.
const SNAPSHOT_BYTES: u64 = 1 << 30;

/// Name of the archive in its entry.
const INITRAMFS: &str = "initramfs.cpio";
