//! Modules built outside the kernel's tree.

use super::Kernel;
use super::compiler::WantedCompiler;
use super::ground::Ground;
use crate::cache::{Cache, Entry, Recipe};
use crate::lock::TempDir;
use crate::sandbox::Sandbox;
use crate::{Artifact, ImagesError, Manifest, Progress, buildroot, hash, run, tools};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Provides the modules of the Kbuild folder `dir`, built against `kernel`; its tree is only read.
pub(crate) fn build_modules(
    cache: &Cache,
    progress: &Progress,
    kernel: &Kernel,
    dir: &Path,
) -> Result<Entry, ImagesError> {
    let ground = Ground::of(kernel)?;
    let mut files = Vec::new();
    collect(dir, Path::new(""), &mut files)?;
    files.sort();
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let recipe = Recipe {
        kind: "modules",
        what: format!("modules of {name} for {}", kernel.release),
        inputs: inputs(kernel, &ground, &files)?,
        space_bytes: 20_000_000,
    };
    cache.entry(&recipe, |temp| {
        for (file, _) in &files {
            let to = temp.path().join(file);
            let parent = to.parent().expect("a file lies in a folder");
            fs::create_dir_all(parent).map_err(ImagesError::io(parent))?;
            fs::copy(dir.join(file), &to).map_err(ImagesError::io(&to))?;
        }
        let log = cache.folder("logs").join(temp.path().file_name().expect("it has a name")).with_extension("log");
        let making = Making { temp, log: &log, progress, what: format!("build modules of {name}") };
        making.make(cache, kernel, &ground)?;
        fs::rename(&log, temp.path().join("build.log")).map_err(ImagesError::io(&log))?;
        let modules = built(temp.path());
        let artifact = |module: &String| Artifact::of_file(temp.path(), module, &kernel.release);
        let artifacts = modules.iter().map(artifact).collect::<Result<_, _>>()?;
        Ok(Manifest { artifacts, ..Manifest::default() })
    })
}

impl Kernel {
    /// How modules can be built against it, in words, or what its tree lacks for that.
    pub fn module_build(&self) -> Result<String, ImagesError> {
        let tree = Ground::of(self)?.tree(self).join(".config");
        let config = fs::read_to_string(&tree).map_err(ImagesError::io(&tree))?;
        Ok(match WantedCompiler::of(&config) {
            None => "the tree does not name its compiler, so none can be built".into(),
            Some(wanted) => wanted.in_words(),
        })
    }
}

/// A build under way.
struct Making<'a> {
    temp: &'a TempDir,
    log: &'a Path,
    progress: &'a Progress,
    what: String,
}

impl Making<'_> {
    fn make(&self, cache: &Cache, kernel: &Kernel, ground: &Ground<'_>) -> Result<(), ImagesError> {
        let build = buildroot::entry(cache, self.progress)?;
        let mut sandbox = Sandbox::new(&build.path)?;
        sandbox.bind(self.temp.path(), "/mod");
        match ground {
            Ground::Headers(usr, headers) => {
                sandbox.bind(usr, "/src");
                // Debian's headers name the compiler of their own suite.
                self.in_root(&sandbox, &["-C", &format!("/src/src/{headers}"), "CC=gcc", "W=1"])
            }
            Ground::Own(tree) => {
                let source = buildroot::source(cache, self.progress, &build)?;
                sandbox.bind(source.path.join("tree"), "/src").bind(*tree, "/out");
                for file in super::build::edited_files(tree)? {
                    sandbox.bind(tree.with_file_name("edits").join(&file), &format!("/src/{file}"));
                }
                self.in_root(&sandbox, &["-C", "/src", "O=/out", "W=1"])
            }
            Ground::Foreign { tree, source } => self.foreign(kernel, &mut sandbox, tree, source),
        }
    }

    /// With the compiler that built the kernel: the build root's, or else this host's.
    fn foreign(&self, kernel: &Kernel, sandbox: &mut Sandbox, tree: &Path, source: &Path) -> Result<(), ImagesError> {
        let error = |wanted: &str, instead: String| ImagesError::NoCompiler {
            path: kernel.place().to_owned(),
            wanted: wanted.to_owned(),
            instead,
        };
        let config = tree.join(".config");
        let config = fs::read_to_string(&config).map_err(ImagesError::io(&config))?;
        let Some(wanted) = WantedCompiler::of(&config) else {
            return Err(error("a compiler that .config does not name", "CONFIG_CC_VERSION_TEXT is missing".into()));
        };
        let mut own = String::new();
        sandbox.run(self.temp, None, &["gcc", "--version"], |line| {
            if own.is_empty() {
                line.clone_into(&mut own);
            }
        })?;
        if wanted.is_gcc() && wanted.is(&own) {
            sandbox.bind_to_read(source, "/src");
            if tree == source {
                return self.in_root(sandbox, &["-C", "/src", "CC=gcc"]);
            }
            sandbox.bind_to_read(tree, "/out");
            return self.in_root(sandbox, &["-C", "/src", "O=/out", "CC=gcc"]);
        }
        match wanted.on_host() {
            Ok(variables) => self.on_host(tree, source, &variables),
            Err(instead) => Err(error(&wanted.text, format!("the rig has `{own}`, and {instead}"))),
        }
    }

    fn in_root(&self, sandbox: &Sandbox, arguments: &[&str]) -> Result<(), ImagesError> {
        let step = self.progress.step(&self.what, 0);
        let argv = [&["make"], arguments, &["M=/mod", "modules"]].concat();
        sandbox.run(self.temp, Some(self.log), &argv, |line| step.tick(line.trim()))?;
        step.done();
        Ok(())
    }

    /// By this host's `make` and compiler, as the kernel documents it.
    fn on_host(&self, tree: &Path, source: &Path, variables: &[String]) -> Result<(), ImagesError> {
        let make = tools::find("make").ok_or_else(|| ImagesError::MissingHostTools(vec!["make".into()]))?;
        let step = self.progress.step(&format!("{} by this host's compiler", self.what), 0);
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut command = Command::new(make);
        command.env_clear().env("PATH", path).env("LC_ALL", "C").env("HOME", "/tmp");
        command.arg("-C").arg(source);
        if tree != source {
            command.arg(assigned("O", tree));
        }
        command.arg(assigned("M", self.temp.path())).args(variables).arg("modules");
        run::run(command, self.temp.hold()?, Some(self.log), |line| step.tick(line.trim()))?;
        step.done();
        Ok(())
    }
}

/// `NAME=PATH`.
fn assigned(name: &str, path: &Path) -> std::ffi::OsString {
    let mut text = std::ffi::OsString::from(format!("{name}="));
    text.push(path);
    text
}

/// All that decides what comes out. The rig's own kernels and Debian's headers are built with the build root's compiler, others
/// with their own.
fn inputs(kernel: &Kernel, ground: &Ground<'_>, files: &[(PathBuf, String)]) -> Result<serde_json::Value, ImagesError> {
    let tree = ground.tree(kernel);
    let vmlinux = tree.join("vmlinux");
    let is_complete = !matches!(ground, Ground::Headers(..)) && vmlinux.is_file();
    let program = if is_complete { &vmlinux } else { &kernel.bzimage };
    let identity = [hash::of_file(&tree.join(".config"))?, hash::of_file(program)?];
    Ok(match ground {
        Ground::Foreign { .. } => {
            let exported = hash::of_file(&tree.join("Module.symvers"))?;
            json!({ "kernel": identity, "exported": exported, "files": files })
        }
        _ => json!({ "kernel": identity, "build": buildroot::recipe().inputs, "files": files }),
    })
}

/// Files below `dir` with their hashes, without what a build would have left there.
fn collect(dir: &Path, below: &Path, files: &mut Vec<(PathBuf, String)>) -> Result<(), ImagesError> {
    let folder = dir.join(below);
    for entry in fs::read_dir(&folder).map_err(ImagesError::io(&folder))? {
        let entry = entry.map_err(ImagesError::io(&folder))?;
        let relative = below.join(entry.file_name());
        if entry.path().is_dir() {
            collect(dir, &relative, files)?;
        } else if is_source(&relative) {
            files.push((relative, hash::of_file(&entry.path())?));
        }
    }
    Ok(())
}

fn is_source(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let ending = path.extension().unwrap_or_default().to_string_lossy();
    ["c", "h", "S", "lds"].contains(&&*ending) || name == "Kbuild" || name == "Makefile"
}

/// Names of the `.ko` files in a Kbuild folder, in the order of `modules.order`.
fn built(folder: &Path) -> Vec<String> {
    let order = fs::read_to_string(folder.join("modules.order")).unwrap_or_default();
    // Kbuild of before Linux 6.13 lists them by their whole path.
    let within = |line: &str| Path::new(line).strip_prefix(folder).ok().map(Path::to_owned);
    let relative =
        |line: &str| within(line).unwrap_or_else(|| PathBuf::from(line.strip_prefix("/mod/").unwrap_or(line)));
    let modules = order.lines().map(|line| relative(line).with_extension("ko"));
    modules.filter(|path| folder.join(path).is_file()).map(|path| path.to_string_lossy().into_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_list_sources_and_cannot_list_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("sub")).unwrap();
        for name in ["Kbuild", "a.c", "a.o", "a.ko", ".a.o.cmd", "sub/b.h", "a.mod.o"] {
            fs::write(dir.path().join(name), name).unwrap();
        }
        let mut files = Vec::new();
        collect(dir.path(), Path::new(""), &mut files).unwrap();
        let mut names: Vec<_> = files.into_iter().map(|(path, _)| path.to_string_lossy().into_owned()).collect();
        names.sort();
        assert_eq!(names, ["Kbuild", "a.c", "sub/b.h"]);
    }
}
