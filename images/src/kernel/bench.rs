//! A kernel source whose text changes again and again, as the patches of a series are applied, with the objects that were made of
//! it: each kernel costs what its change costs. What is built goes into the cache, by the hash of its source.
//!
//! ```text
//! src/   the source, as the caller left it
//! out/   the build tree
//! tmp/   a folder for each build under way: one that was left there shows that a build was killed
//! ```

use super::build::{Workshop, configure, copy_tree, log_path, make};
use super::{Fragment, Kernel, KernelRequest, build, kept};
use crate::cache::{Cache, Entry, Recipe};
use crate::lock::{self, TempDir};
use crate::sandbox::Sandbox;
use crate::{Artifact, ImagesError, Manifest, Progress, buildroot};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Bump when what is built from the same inputs changes.
const LAYOUT: u32 = 1;

/// How the names of these kernels' entries begin.
const KIND: &str = "patched";

/// As many of these kernels stay in the cache, 30 MB each.
const KEPT: usize = 64;

/// Lines that `make` prints for a whole kernel; only the progress bar depends on it.
const WHOLE_LINES: u64 = 1850;

/// The source, and what was made of it.
#[derive(Debug)]
pub struct KernelBench {
    folder: PathBuf,
    build: Entry,
    profile: Vec<Fragment>,
    /// The finished build tree of the unchanged source, if there is one: only what was changed is compiled then.
    base: Option<Entry>,
}

/// What came of a build.
#[derive(Debug)]
pub enum Remade {
    /// The kernel.
    Kernel(Kernel),
    /// Its source does not build; the first error.
    Refused(String),
}

fn recipe(profile: &[Fragment], source: &str) -> Recipe {
    let demands: Vec<Vec<&str>> = profile.iter().map(|fragment| fragment.demands().collect()).collect();
    let inputs = json!({ "layout": LAYOUT, "build": buildroot::recipe().inputs, "demands": demands, "source": source });
    let what = format!("kernel of a series ({})", &source[..source.len().min(12)]);
    Recipe { kind: KIND, what, inputs, space_bytes: 1_000_000_000 }
}

/// The kernel that was built of the source with this name, if the cache has it.
pub(crate) fn remade(cache: &Cache, source: &str) -> Result<Option<(Kernel, Entry)>, ImagesError> {
    let entry = cache.existing(&recipe(&KernelRequest::default().profile, source))?;
    entry.map(|entry| Ok((Kernel::from_tree(&entry.path.join("out"))?, entry))).transpose()
}

impl KernelBench {
    /// Opens the bench in `folder`, or makes one. Its source is the caller's to provide, before the first build.
    pub(crate) fn open(cache: &Cache, progress: &Progress, folder: &Path) -> Result<Self, ImagesError> {
        let tmp = folder.join("tmp");
        fs::create_dir_all(&tmp).map_err(ImagesError::io(&tmp))?;
        let bench = Self {
            folder: folder.to_owned(),
            build: buildroot::entry(cache, progress)?,
            profile: KernelRequest::default().profile,
            base: None,
        };
        let swept = lock::sweep(&tmp)?;
        if fs::read_dir(&tmp).map_err(ImagesError::io(&tmp))?.next().is_some() {
            let why = "a build in it is still under way".to_owned();
            return Err(ImagesError::DamagedInUse { what: "build folder".into(), path: folder.into(), why });
        }
        if swept.removed > 0 && bench.out().exists() {
            progress.say("a build was killed, so its objects are not used again");
            fs::remove_dir_all(bench.out()).map_err(ImagesError::io(bench.out()))?;
        }
        Ok(bench)
    }

    /// As [`KernelBench::open`], with a copy of the rig's own source, and of the objects of its unmodified kernel.
    pub(crate) fn own(cache: &Cache, progress: &Progress, folder: &Path) -> Result<Self, ImagesError> {
        let (_, base) = build(cache, progress, &KernelRequest::default())?;
        let mut bench = Self::open(cache, progress, folder)?;
        if !bench.source().exists() {
            let step = progress.step("copy kernel source", 0);
            bench.copy(&Workshop::open(cache, progress)?.tree(), "src")?;
            step.done();
        }
        bench.base = Some(base);
        Ok(bench)
    }

    /// Where the source is.
    pub fn source(&self) -> PathBuf {
        self.folder.join("src")
    }

    fn out(&self) -> PathBuf {
        self.folder.join("out")
    }

    /// Copies a folder with its times, all at once.
    fn copy(&self, from: &Path, name: &str) -> Result<(), ImagesError> {
        let temp = self.busy()?;
        let half = temp.path().join(name);
        copy_tree(from, &half, &temp)?;
        let to = self.folder.join(name);
        fs::rename(&half, &to).map_err(ImagesError::io(&to))
    }

    fn busy(&self) -> Result<TempDir, ImagesError> {
        TempDir::new(&self.folder.join("tmp"), "making")
    }

    /// Builds the kernel of the source as it lies there now. `source` is that text's name: no other text may have it.
    pub(crate) fn remake(
        &self,
        cache: &Cache,
        progress: &Progress,
        source: &str,
    ) -> Result<Result<Entry, String>, ImagesError> {
        let made = cache.entry(&recipe(&self.profile, source), |temp| self.make(cache, progress, temp));
        cache.retire(KIND, KEPT)?;
        match made {
            Ok(entry) => Ok(Ok(entry)),
            Err(ImagesError::Program { program, detail, .. }) if program == "make" && is_of_source(&detail) => {
                Ok(Err(detail.replace("/src/", "")))
            }
            Err(error @ ImagesError::ConfigLine { .. }) => Ok(Err(error.to_string())),
            Err(other) => Err(other),
        }
    }

    fn make(&self, cache: &Cache, progress: &Progress, temp: &TempDir) -> Result<Manifest, ImagesError> {
        if let (Some(base), false) = (&self.base, self.out().exists()) {
            self.copy(&base.path.join("out"), "out")?;
        }
        let out = self.out();
        fs::create_dir_all(&out).map_err(ImagesError::io(&out))?;
        let log = log_path(cache, temp);
        let busy = self.busy()?;
        let mut sandbox = Sandbox::new(&self.build.path)?;
        sandbox.bind(self.source(), "/src").bind(&out, "/out");
        self.configure(&sandbox, &busy, &log)?;
        let is_first = !out.join("vmlinux").exists();
        let step = progress.step("build kernel", if is_first { WHOLE_LINES } else { 0 });
        // Such a kernel is started from `vmlinux`; of the compressed image only the header is read.
        let targets: &[&str] = if is_first { &["vmlinux", "modules", "bzImage"] } else { &["vmlinux", "modules"] };
        make(&sandbox, &busy, &log, targets, |line| step.tick(line))?;
        step.done();
        self.keep(&log, temp)
    }

    /// A patch may have changed what Kconfig asks.
    fn configure(&self, sandbox: &Sandbox, busy: &TempDir, log: &Path) -> Result<(), ImagesError> {
        let config = self.out().join(".config");
        if !config.exists() {
            return configure(sandbox, busy, log, &self.out(), &self.profile);
        }
        make(sandbox, busy, log, &["olddefconfig"], |_| ())?;
        Fragment::verify(&self.profile, &fs::read_to_string(&config).map_err(ImagesError::io(&config))?)
    }

    /// Puts what a run needs into the entry, and the log beside it.
    fn keep(&self, log: &Path, temp: &TempDir) -> Result<Manifest, ImagesError> {
        let kept_log = temp.path().join("build.log");
        fs::rename(log, &kept_log).map_err(ImagesError::io(log))?;
        let to = temp.path().join("out");
        kept::copy(&self.out(), &to)?;
        let kernel = Kernel::from_tree(&to)?;
        let vmlinux = Artifact::of_file(temp.path(), "out/vmlinux", &kernel.release)?;
        Ok(Manifest { artifacts: vec![vmlinux], ..Manifest::default() })
    }
}

/// Whether a message of `make` is about the source, and not about the machine that it ran on.
fn is_of_source(message: &str) -> bool {
    let words =
        ["error:", "ERROR:", "undefined", "No rule to make target", "syntax error", "unknown option", "Kconfig"];
    words.iter().any(|word| message.contains(word)) && !message.contains("Killed")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_source_is_to_blame_for_is_told_from_what_it_is_not() {
        for message in [
            "/src/arch/x86/virt/vmx/tdx/tdx.c:120:1: error: control reaches end of non-void function",
            "ERROR: modpost: \"tdx_call\" [drivers/virt/x.ko] undefined!",
            "make[3]: *** No rule to make target 'x.o', needed by 'built-in.a'.  Stop.",
            "ld: tdx.o: in function `f': tdx.c:(.text+0x1): undefined reference to `g'",
        ] {
            assert!(is_of_source(message), "{message}");
        }
        for message in ["make[2]: *** [/src/Makefile:2001: vmlinux] Killed", "signal: 15 (SIGTERM)", "make: not found"]
        {
            assert!(!is_of_source(message), "{message}");
        }
    }

    #[test]
    fn a_kernel_is_found_by_its_source() {
        let profile = KernelRequest::default().profile;
        assert_eq!(recipe(&profile, "a").name(), recipe(&profile, "a").name());
        assert_ne!(recipe(&profile, "a").name(), recipe(&profile, "b").name());
        assert_ne!(recipe(&profile, "a").name(), recipe(&profile[..1], "a").name());
    }
}
