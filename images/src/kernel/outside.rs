//! Modules built outside the kernel's tree.

use super::Kernel;
use crate::cache::{Cache, Entry, Recipe};
use crate::sandbox::Sandbox;
use crate::{Artifact, ImagesError, Manifest, Progress, buildroot, hash};
use serde_json::json;
use std::fs;
use std::path::{Path, PathBuf};

/// Provides the modules of the Kbuild folder `dir`, built against `kernel` with `W=1`.
pub(crate) fn build_modules(
    cache: &Cache,
    progress: &Progress,
    kernel: &Kernel,
    dir: &Path,
) -> Result<Entry, ImagesError> {
    let tree = usable_tree(kernel)?;
    let mut files = Vec::new();
    collect(dir, Path::new(""), &mut files)?;
    files.sort();
    let inputs = json!({ "kernel": identity(kernel, tree)?, "build": buildroot::recipe().inputs, "files": files });
    let name = dir.file_name().unwrap_or_default().to_string_lossy().into_owned();
    let recipe = Recipe {
        kind: "modules",
        what: format!("modules of {name} for {}", kernel.release),
        inputs,
        space_bytes: 20_000_000,
    };
    cache.entry(&recipe, |temp| {
        for (file, _) in &files {
            let to = temp.path().join(file);
            let parent = to.parent().expect("a file lies in a folder");
            fs::create_dir_all(parent).map_err(ImagesError::io(parent))?;
            fs::copy(dir.join(file), &to).map_err(ImagesError::io(&to))?;
        }
        let build = buildroot::entry(cache, progress)?;
        let mut sandbox = Sandbox::new(&build.path)?;
        let folders = if let Some((usr, headers)) = super::debian::headers_of(tree) {
            sandbox.bind(usr, "/src");
            // Debian's headers name the compiler of their own suite.
            vec![format!("/src/src/{headers}"), "CC=gcc".into()]
        } else {
            let source = buildroot::source(cache, progress, &build)?;
            sandbox.bind(source.path.join("tree"), "/src").bind(tree, "/out");
            for file in super::build::edited_files(tree)? {
                sandbox.bind(tree.with_file_name("edits").join(&file), &format!("/src/{file}"));
            }
            vec!["/src".into(), "O=/out".into()]
        };
        sandbox.bind(temp.path(), "/mod");
        let step = progress.step(&format!("build modules of {name}"), 0);
        let log = cache.folder("logs").join(temp.path().file_name().expect("it has a name")).with_extension("log");
        let folders = folders.iter().map(String::as_str);
        let argv: Vec<&str> = ["make", "-C"].into_iter().chain(folders).chain(["M=/mod", "W=1", "modules"]).collect();
        sandbox.run(temp, Some(&log), &argv, |line| step.tick(line.trim()))?;
        step.done();
        fs::rename(&log, temp.path().join("build.log")).map_err(ImagesError::io(&log))?;
        let modules = built(temp.path());
        let artifact = |module: &String| Artifact::of_file(temp.path(), module, &kernel.release);
        let artifacts = modules.iter().map(artifact).collect::<Result<_, _>>()?;
        Ok(Manifest { artifacts, ..Manifest::default() })
    })
}

/// A tree that this program built: its compiler and its source are known.
fn usable_tree(kernel: &Kernel) -> Result<&Path, ImagesError> {
    let error = |detail: &str| ImagesError::NoModuleTree { path: kernel.bzimage.clone(), detail: detail.into() };
    let tree = kernel.tree.as_deref().ok_or_else(|| error("it is an image without its build tree"))?;
    if !tree.join("Module.symvers").is_file() {
        return Err(error("Module.symvers is missing"));
    }
    let makefile = fs::read_to_string(tree.join("Makefile")).unwrap_or_default();
    if makefile.contains("include /src/") { Ok(tree) } else { Err(error("it was built elsewhere")) }
}

/// What distinguishes this kernel from others for a module that is built against it.
fn identity(kernel: &Kernel, tree: &Path) -> Result<[String; 2], ImagesError> {
    let program = if super::debian::headers_of(tree).is_some() { &kernel.bzimage } else { &tree.join("vmlinux") };
    Ok([hash::of_file(&tree.join(".config"))?, hash::of_file(program)?])
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
    let modules =
        order.lines().map(|line| PathBuf::from(line.strip_prefix("/mod/").unwrap_or(line)).with_extension("ko"));
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
