//! Building kernels from the source package, inside the build root.

use super::{Fragment, Kernel, KernelRequest, SourceEdit};
use crate::cache::{Cache, Entry, Recipe};
use crate::lock::TempDir;
use crate::sandbox::Sandbox;
use crate::{Artifact, ImagesError, Manifest, Progress, buildroot, packages};
use serde_json::json;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Bump when what is built from the same inputs changes.
const LAYOUT: u32 = 1;

/// Lines that `make` prints for the usual profile; only the progress bar depends on it.
const USUAL_LINES: u64 = 1850;

/// All that a kernel consists of.
const ALL: &[&str] = &["bzImage", "modules"];

/// What a kernel is built with: the compiler and the source.
#[derive(Debug)]
pub(super) struct Workshop {
    build: Entry,
    source: Entry,
}

pub(crate) fn recipe(request: &KernelRequest) -> Recipe {
    let names: Vec<&str> = request.profile.iter().map(|fragment| fragment.name.as_str()).collect();
    let edited = if request.edits.is_empty() { "" } else { ", edited" };
    let demands: Vec<Vec<&str>> = request.profile.iter().map(|fragment| fragment.demands().collect()).collect();
    let inputs = json!({ "layout": LAYOUT, "build": buildroot::recipe().inputs, "source": buildroot::source_recipe().inputs,
        "demands": demands, "edits": request.edits });
    Recipe { kind: "kernel", what: format!("kernel ({}{edited})", names.join(", ")), inputs, space_bytes: 500_000_000 }
}

/// Provides the kernel that was asked for. Its entry holds the build tree in `out`.
pub(crate) fn build(
    cache: &Cache,
    progress: &Progress,
    request: &KernelRequest,
) -> Result<(Kernel, Entry), ImagesError> {
    let entry = cache.entry(&recipe(request), |temp| {
        let workshop = Workshop::open(cache, progress)?;
        if request.edits.is_empty() {
            workshop.whole(cache, progress, request, temp)
        } else {
            let plain = KernelRequest { edits: Vec::new(), ..request.clone() };
            let (_, base) = self::build(cache, progress, &plain)?;
            workshop.variant(cache, progress, request, &base, temp)
        }
    })?;
    let kernel = Kernel::from_tree(&entry.path.join("out"))?;
    Ok((kernel, entry))
}

/// The text of a file of the unmodified source.
pub(crate) fn source_text(cache: &Cache, progress: &Progress, file: &str) -> Result<String, ImagesError> {
    Workshop::open(cache, progress)?.read(file)
}

/// The folder of the unmodified source.
pub(crate) fn source_folder(cache: &Cache, progress: &Progress) -> Result<PathBuf, ImagesError> {
    Ok(Workshop::open(cache, progress)?.tree())
}

impl Workshop {
    pub(super) fn open(cache: &Cache, progress: &Progress) -> Result<Self, ImagesError> {
        let build = buildroot::entry(cache, progress)?;
        let source = buildroot::source(cache, progress, &build)?;
        Ok(Self { build, source })
    }

    /// Where the source lies.
    pub(super) fn tree(&self) -> PathBuf {
        self.source.path.join("tree")
    }

    /// The text of a file of the source.
    pub(super) fn read(&self, file: &str) -> Result<String, ImagesError> {
        let path = self.tree().join(file);
        fs::read_to_string(&path).map_err(ImagesError::io(&path))
    }

    fn whole(
        &self,
        cache: &Cache,
        progress: &Progress,
        request: &KernelRequest,
        temp: &TempDir,
    ) -> Result<Manifest, ImagesError> {
        let out = temp.path().join("out");
        fs::create_dir(&out).map_err(ImagesError::io(&out))?;
        let log = log_path(cache, temp);
        let sandbox = self.sandbox(&out, &BTreeMap::new())?;
        configure(&sandbox, temp, &log, &out, &request.profile)?;
        let step = progress.step("build kernel", USUAL_LINES);
        make(&sandbox, temp, &log, ALL, |line| step.tick(line))?;
        step.done();
        self.finish(temp, &log)
    }

    /// Starts from the finished tree of the same profile, so that only what the edits touch is compiled.
    fn variant(
        &self,
        cache: &Cache,
        progress: &Progress,
        request: &KernelRequest,
        base: &Entry,
        temp: &TempDir,
    ) -> Result<Manifest, ImagesError> {
        let edited = apply(&request.edits, &self.tree(), &temp.path().join("edits"))?;
        let out = temp.path().join("out");
        copy_tree(&base.path.join("out"), &out, temp)?;
        let log = log_path(cache, temp);
        let step = progress.step("build edited kernel", 0);
        make(&self.sandbox(&out, &edited)?, temp, &log, ALL, |line| step.tick(line))?;
        step.done();
        discard_objects(&out)?;
        self.finish(temp, &log)
    }

    /// The source is seen at `/src`, with the edited files in place of the original ones, and the tree at `/out`.
    pub(super) fn sandbox(&self, out: &Path, edited: &BTreeMap<String, PathBuf>) -> Result<Sandbox, ImagesError> {
        let mut sandbox = Sandbox::new(&self.build.path)?;
        sandbox.bind(self.tree(), "/src").bind(out, "/out");
        for (file, path) in edited {
            sandbox.bind(path, &format!("/src/{file}"));
        }
        Ok(sandbox)
    }

    /// Keeps the log beside the result, and names what the kernel was made of.
    fn finish(&self, temp: &TempDir, log: &Path) -> Result<Manifest, ImagesError> {
        let kept = temp.path().join("build.log");
        fs::rename(log, &kept).map_err(ImagesError::io(log))?;
        let kernel = Kernel::from_tree(&temp.path().join("out"))?;
        let mut artifacts = self.source.manifest.artifacts.clone();
        let compiler = |artifact: &&Artifact| packages::BUILD.contains(&artifact.name.as_str());
        artifacts.extend(self.build.manifest.artifacts.iter().filter(compiler).cloned());
        let files =
            [&kernel.bzimage].into_iter().chain(&kernel.system_map).chain(&kernel.config).chain(&kernel.modules);
        for file in files {
            let relative = file.strip_prefix(temp.path()).expect("the tree lies in the entry");
            artifacts.push(Artifact::of_file(temp.path(), &relative.to_string_lossy(), &kernel.release)?);
        }
        Ok(Manifest { artifacts, warnings: self.source.manifest.warnings.clone(), ..Manifest::default() })
    }
}

/// Logs lie outside the temporary folder while the build runs, so that a failed build keeps its own.
pub(super) fn log_path(cache: &Cache, temp: &TempDir) -> PathBuf {
    cache.folder("logs").join(temp.path().file_name().expect("it has a name")).with_extension("log")
}

pub(super) fn configure(
    sandbox: &Sandbox,
    temp: &TempDir,
    log: &Path,
    out: &Path,
    profile: &[Fragment],
) -> Result<(), ImagesError> {
    let target = |name: &str| sandbox.run(temp, Some(log), &["make", "-C", "/src", "O=/out", name], |_| ());
    target("tinyconfig")?;
    let path = out.join(".config");
    let mut config = fs::read_to_string(&path).map_err(ImagesError::io(&path))?;
    for fragment in profile {
        config.extend(fragment.demands().flat_map(|line| [line, "\n"]));
    }
    fs::write(&path, config).map_err(ImagesError::io(&path))?;
    target("olddefconfig")?;
    Fragment::verify(profile, &fs::read_to_string(&path).map_err(ImagesError::io(&path))?)
}

/// Makes `targets` in the tree at `/out`.
pub(super) fn make(
    sandbox: &Sandbox,
    temp: &TempDir,
    log: &Path,
    targets: &[&str],
    mut on_line: impl FnMut(&str),
) -> Result<(), ImagesError> {
    let jobs = format!("-j{}", std::thread::available_parallelism().map_or(2, usize::from));
    let argv = [&["make", &jobs, "-C", "/src", "O=/out"], targets].concat();
    sandbox.run(temp, Some(log), &argv, |line| on_line(line.trim()))
}

/// Writes the edited files below `folder`; returns where each file of the source is found now.
fn apply(edits: &[SourceEdit], source: &Path, folder: &Path) -> Result<BTreeMap<String, PathBuf>, ImagesError> {
    let mut texts = BTreeMap::new();
    for edit in edits {
        edit.check_path()?;
        let text = match texts.remove(&edit.file) {
            Some(text) => text,
            None => fs::read_to_string(source.join(&edit.file)).map_err(|error| edit.error(error.to_string()))?,
        };
        texts.insert(edit.file.clone(), edit.apply(&text)?);
    }
    let mut edited = BTreeMap::new();
    for (file, text) in texts {
        let path = folder.join(&file);
        let parent = path.parent().expect("a file lies in a folder");
        fs::create_dir_all(parent).map_err(ImagesError::io(parent))?;
        fs::write(&path, text).map_err(ImagesError::io(&path))?;
        edited.insert(file, path);
    }
    Ok(edited)
}

/// Paths in the source of the files that were edited for the build tree `out`.
pub(crate) fn edited_files(out: &Path) -> Result<Vec<String>, ImagesError> {
    let folder = out.with_file_name("edits");
    let mut files = Vec::new();
    let mut folders = vec![folder.clone()];
    while let Some(at) = folders.pop().filter(|at| at.is_dir()) {
        for entry in fs::read_dir(&at).map_err(ImagesError::io(&at))?.flatten() {
            let path = entry.path();
            match path.strip_prefix(&folder) {
                _ if path.is_dir() => folders.push(path),
                Ok(file) => files.push(file.to_string_lossy().into_owned()),
                Err(_) => unreachable!("it was found below this folder"),
            }
        }
    }
    Ok(files)
}

/// Copies a build tree with its times, which `make` decides by.
pub(super) fn copy_tree(from: &Path, to: &Path, temp: &TempDir) -> Result<(), ImagesError> {
    let mut command = std::process::Command::new("cp");
    command.args(["-a", "--reflink=auto"]).arg(from).arg(to).env("LC_ALL", "C");
    crate::run::run(command, temp.hold()?, None, |_| ()).map_err(|error| match error {
        ImagesError::DiskFull(_) => ImagesError::DiskFull(to.into()),
        other => other,
    })
}

/// Removes what only a further incremental build of the kernel itself would need.
fn discard_objects(folder: &Path) -> Result<(), ImagesError> {
    for entry in fs::read_dir(folder).map_err(ImagesError::io(folder))? {
        let entry = entry.map_err(ImagesError::io(folder))?;
        let path = entry.path();
        let name = entry.file_name().to_string_lossy().into_owned();
        let is_dir = entry.file_type().map_err(ImagesError::io(&path))?.is_dir();
        // Programs of scripts/ and tools/ are needed to build modules.
        if is_dir && !["scripts", "tools", "include"].contains(&name.as_str()) {
            discard_objects(&path)?;
        } else if !is_dir && is_object(&name) {
            fs::remove_file(&path).map_err(ImagesError::io(&path))?;
        }
    }
    Ok(())
}

fn is_object(name: &str) -> bool {
    let ending = Path::new(name).extension().and_then(|ending| ending.to_str());
    name.starts_with(".tmp_vmlinux") || name == "vmlinux.unstripped" || matches!(ending, Some("o" | "a"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_demanded_makes_the_address() {
        let plain = KernelRequest::default();
        let mut commented = plain.clone();
        commented.profile[0].text.push_str("# a comment\n");
        assert_eq!(recipe(&plain).name(), recipe(&commented).name());
        let mut demanding = plain.clone();
        demanding.profile[0].text.push_str("CONFIG_X=y\n");
        let edited = KernelRequest::edited(vec![SourceEdit::literal("a", "b", "c")]);
        assert_ne!(recipe(&plain).name(), recipe(&demanding).name());
        assert_ne!(recipe(&plain).name(), recipe(&edited).name());
    }

    #[test]
    fn can_edit_one_file_twice() {
        let source = tempfile::tempdir().unwrap();
        fs::write(source.path().join("f.c"), "one two").unwrap();
        let edits = [SourceEdit::literal("f.c", "one", "1"), SourceEdit::literal("f.c", "two", "2")];
        let edited = apply(&edits, source.path(), &source.path().join("edits")).unwrap();
        assert_eq!(fs::read_to_string(&edited["f.c"]).unwrap(), "1 2");
        assert_eq!(fs::read_to_string(source.path().join("f.c")).unwrap(), "one two");
    }

    #[test]
    fn cannot_edit_a_file_that_is_not_there() {
        let source = tempfile::tempdir().unwrap();
        let edits = [SourceEdit::literal("missing.c", "one", "1")];
        let error = apply(&edits, source.path(), source.path()).unwrap_err();
        assert!(error.to_string().contains("missing.c"), "{error}");
    }
}
