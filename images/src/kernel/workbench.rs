//! A build tree of one's own, in which kernels with one changed file are built one after another.
//!
//! It starts as a copy of the finished tree of the unmodified kernel, so that `make` compiles the changed file only, and it is gone
//! with the value. Nothing of it enters the cache.

use super::build::{Workshop, copy_tree, log_path, make};
use super::{KernelRequest, build, kept};
use crate::cache::{Cache, Entry};
use crate::lock::TempDir;
use crate::{ImagesError, Progress, hash};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// What the compiler says of a changed file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compiled {
    /// SHA-256 of the object file: equal objects are the same code.
    Object(String),
    /// It does not compile; the compiler's first error.
    Refused(String),
}

/// The tree, and the files that may be changed in it.
#[derive(Debug)]
pub struct Workbench {
    workshop: Workshop,
    temp: TempDir,
    log: PathBuf,
    /// What each file has in it now, by its path in the kernel source.
    texts: BTreeMap<String, String>,
    /// As long as it exists, the cache keeps the tree that this one was copied from.
    _base: Entry,
}

impl Workbench {
    /// Copies the tree of the usual subject; `files` may be changed in it.
    pub(crate) fn open(cache: &Cache, progress: &Progress, files: &[&str]) -> Result<Self, ImagesError> {
        let (kernel, base) = build(cache, progress, &KernelRequest::default())?;
        assert!(kernel.is_configured("CONFIG_PVH=y"), "the usual kernel is started from vmlinux");
        let workshop = Workshop::open(cache, progress)?;
        let temp = TempDir::new(&cache.folder("tmp"), "workbench")?;
        let log = log_path(cache, &temp);
        copy_tree(&base.path.join("out"), &temp.path().join("out"), &temp)?;
        let texts = files.iter().map(|file| Ok(((*file).to_owned(), workshop.read(file)?)));
        let texts = texts.collect::<Result<BTreeMap<_, _>, ImagesError>>()?;
        for (file, text) in &texts {
            write(&edited(&temp, file), text)?;
        }
        Ok(Self { workshop, temp, log, texts, _base: base })
    }

    /// Gives `file` the text `text` and all others their own, and compiles it.
    pub fn compile(&mut self, file: &str, text: &str) -> Result<Compiled, ImagesError> {
        for (other, now) in &mut self.texts {
            let wanted = if other == file { text.to_owned() } else { self.workshop.read(other)? };
            // `make` goes by times, so a file whose text stays is left alone.
            if *now != wanted {
                write(&edited(&self.temp, other), &wanted)?;
                *now = wanted;
            }
        }
        let object = Path::new(file).with_extension("o");
        match self.make(&[&object.to_string_lossy()]) {
            Ok(()) => Ok(Compiled::Object(hash::of_file(&self.out().join(object))?)),
            Err(ImagesError::Program { detail, .. }) if is_of(file, &detail) => Ok(Compiled::Refused(detail)),
            Err(other) => Err(other),
        }
    }

    /// Links the kernel with what was compiled last, and puts all that a run needs below `folder`, in the form of a
    /// build tree.
    ///
    /// Such a kernel is started from `vmlinux`, so the compressed image is not made again: that of the unmodified
    /// kernel stands for its header.
    pub fn link(&mut self, folder: &Path) -> Result<(), ImagesError> {
        let out = self.out();
        let archive = out.join("built-in.a");
        let now = fs::File::open(&archive).and_then(|file| file.set_modified(SystemTime::now()));
        now.map_err(ImagesError::io(&archive))?;
        // The archives name their members by path, and the one that changed is compiled: no folder needs to be entered.
        self.make(&["build-dir=arch/x86/virt/vmx/tdx", "vmlinux"])?;
        self.check_linked()?;
        kept::copy(&out, folder)
    }

    /// Whether the kernel is younger than every object that was compiled for it.
    fn check_linked(&self) -> Result<(), ImagesError> {
        let modified = |path: &Path| fs::metadata(path).and_then(|data| data.modified()).map_err(ImagesError::io(path));
        let kernel = modified(&self.out().join("vmlinux"))?;
        for file in self.texts.keys() {
            if modified(&self.out().join(file).with_extension("o"))? > kernel {
                let detail = format!("the kernel was not linked again, though {file} was compiled");
                return Err(ImagesError::Program { program: "make".into(), detail, log: Some(self.log.clone()) });
            }
        }
        Ok(())
    }

    fn out(&self) -> PathBuf {
        self.temp.path().join("out")
    }

    fn make(&self, targets: &[&str]) -> Result<(), ImagesError> {
        let edits = self.texts.keys().map(|file| (file.clone(), edited(&self.temp, file))).collect();
        make(&self.workshop.sandbox(&self.out(), &edits)?, &self.temp, &self.log, targets, |_| ())
    }
}

impl Drop for Workbench {
    fn drop(&mut self) {
        // Its errors were reported already, with the compiler's messages.
        let _ = fs::remove_file(&self.log);
    }
}

/// Where the text of a file lies that may be changed.
fn edited(temp: &TempDir, file: &str) -> PathBuf {
    temp.path().join("edits").join(file)
}

fn write(path: &Path, text: &str) -> Result<(), ImagesError> {
    let parent = path.parent().expect("a file lies in a folder");
    fs::create_dir_all(parent).map_err(ImagesError::io(parent))?;
    fs::write(path, text).map_err(ImagesError::io(path))
}

/// Whether a compiler's message is about this file.
fn is_of(file: &str, message: &str) -> bool {
    message.contains(&format!("{file}:")) && message.contains("error:")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_error_of_the_changed_file_is_the_changes_fault() {
        let file = "arch/x86/virt/vmx/tdx/tdx.c";
        assert!(is_of(file, "/src/arch/x86/virt/vmx/tdx/tdx.c:120:1: error: control reaches end of non-void function"));
        assert!(!is_of(file, "/src/kernel/fork.c:1:1: error: expected ';'"));
        assert!(!is_of(file, "make[3]: *** [/src/scripts/Makefile.build:289: arch/x86/virt/vmx/tdx/tdx.o] Killed"));
    }
}
