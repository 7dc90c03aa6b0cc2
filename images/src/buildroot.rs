//! What building a kernel takes: a compiler in a folder of its own, and the kernel's source.

use crate::apt::{self, Apt};
use crate::cache::{Cache, Entry, Recipe};
use crate::lock::TempDir;
use crate::sandbox::{self, Sandbox};
use crate::{ImagesError, Manifest, Progress, packages, unpack};
use serde_json::json;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

/// Bump when what is made from the same packages changes.
const LAYOUT: u32 = 1;

/// Links that Debian's alternatives would have made.
const ALTERNATIVES: &[(&str, &str)] = &[("usr/bin/awk", "gawk"), ("usr/bin/cc", "gcc")];

pub(crate) fn recipe() -> Recipe {
    let inputs = json!({ "layout": LAYOUT, "packages": packages::BUILD, "suites": [apt::SUITE, apt::BACKPORTS] });
    Recipe { kind: "build", what: "compiler".into(), inputs, space_bytes: 800_000_000 }
}

/// Provides the compiler.
pub(crate) fn entry(cache: &Cache, progress: &Progress) -> Result<Entry, ImagesError> {
    cache.entry(&recipe(), |temp| {
        let apt = Apt::open(&cache.folder("apt"), progress)?;
        let wanted: Vec<String> = packages::BUILD.iter().map(ToString::to_string).collect();
        let closure = apt.closure(&wanted)?;
        let artifacts = unpack::packages(&apt, &closure, "compiler", temp, progress)?;
        sandbox::prepare(temp.path())?;
        for (link, target) in ALTERNATIVES {
            let path = temp.path().join(link);
            symlink(target, &path).map_err(ImagesError::io(&path))?;
        }
        Ok(Manifest { artifacts, ..Manifest::default() })
    })
}

pub(crate) fn source_recipe() -> Recipe {
    let inputs = json!({ "layout": LAYOUT, "package": packages::LINUX_SOURCE, "pins": packages::PINS[1] });
    Recipe { kind: "linux", what: "kernel source".into(), inputs, space_bytes: 2_500_000_000 }
}

/// Provides the kernel's source tree, in the folder `tree` of its entry.
pub(crate) fn source(cache: &Cache, progress: &Progress, build: &Entry) -> Result<Entry, ImagesError> {
    cache.entry(&source_recipe(), |temp| {
        let apt = Apt::open(&cache.folder("apt"), progress)?;
        let choice = packages::choose_linux(&apt)?;
        let package = apt.single(&choice.wanted)?;
        let file = apt.download(std::slice::from_ref(&package), "kernel source")?.remove(0);
        let artifacts = vec![unpack::artifact(&package, &file)?];
        untar(temp, &file, &build.path, progress)?;
        fs::remove_file(&file).map_err(ImagesError::io(&file))?;
        Ok(Manifest { artifacts, warnings: choice.warning.into_iter().collect(), ..Manifest::default() })
    })
}

/// The package holds a tar file, which is unpacked with the build root's tar and xz.
fn untar(temp: &TempDir, package: &Path, build: &Path, progress: &Progress) -> Result<(), ImagesError> {
    let step = progress.step("unpack kernel source", 0);
    let (unpacked, tree) = (temp.path().join("package"), temp.path().join("tree"));
    unpack::extract(package, &unpacked, temp)?;
    let tar = find_tar(&unpacked.join("usr/src"))?;
    fs::create_dir(&tree).map_err(ImagesError::io(&tree))?;
    let mut sandbox = Sandbox::new(build)?;
    let folder = tar.parent().expect("a file found in a folder");
    sandbox.bind(folder, "/src").bind(&tree, "/out");
    let inside = format!("/src/{}", tar.file_name().expect("a file has a name").to_string_lossy());
    let argv = [
        "tar",
        "--extract",
        "--xz",
        "--file",
        &inside,
        "--directory",
        "/out",
        "--strip-components",
        "1",
        "--no-same-owner",
    ];
    sandbox.run(temp, None, &argv, |_| ())?;
    fs::remove_dir_all(&unpacked).map_err(ImagesError::io(&unpacked))?;
    step.done();
    Ok(())
}

fn find_tar(folder: &Path) -> Result<PathBuf, ImagesError> {
    let files = fs::read_dir(folder).map_err(ImagesError::io(folder))?.flatten().map(|entry| entry.path());
    let tars = files.filter(|path| path.to_string_lossy().ends_with(".tar.xz"));
    tars.max().ok_or_else(|| ImagesError::NoPackage(format!("with a .tar.xz in {}", folder.display())))
}
