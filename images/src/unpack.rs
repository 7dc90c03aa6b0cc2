//! Unpacking Debian packages into a folder, without their scripts.

use crate::apt::{Apt, Package};
use crate::lock::TempDir;
use crate::{Artifact, ImagesError, Progress, hash, run};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// Folders that are not needed here.
const SUPERFLUOUS: &[&str] =
    &["usr/share/doc", "usr/share/man", "usr/share/locale", "usr/share/info", "usr/share/lintian", "usr/share/bug"];

/// Links that Debian's alternatives or its merged `/usr` would have made.
pub(crate) const LINKS: &[(&str, &str)] =
    &[("bin", "usr/bin"), ("sbin", "usr/sbin"), ("lib", "usr/lib"), ("lib64", "usr/lib64")];

/// Downloads `packages` and unpacks them into the folder being made; returns what they were.
pub(crate) fn packages(
    apt: &Apt,
    packages: &[Package],
    what: &str,
    temp: &TempDir,
    progress: &Progress,
) -> Result<Vec<Artifact>, ImagesError> {
    let files = apt.download(packages, what)?;
    let artifacts =
        packages.iter().zip(&files).map(|(package, file)| artifact(package, file)).collect::<Result<_, _>>()?;
    lay_out(temp.path())?;
    let step = progress.step(&format!("unpack {what}"), files.len() as u64);
    let queue = Mutex::new(files.iter());
    let worker = || -> Result<(), ImagesError> {
        loop {
            let Some(file) = queue.lock().expect("no worker panics").next() else { return Ok(()) };
            extract(file, temp.path(), temp)?;
            step.tick(&file.file_stem().unwrap_or_default().to_string_lossy());
        }
    };
    let workers = std::thread::available_parallelism().map_or(1, usize::from).min(4);
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..workers).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().try_for_each(|thread| thread.join().expect("no worker panics"))
    })?;
    step.done();
    discard(temp.path(), &files)?;
    Ok(artifacts)
}

pub(crate) fn artifact(package: &Package, file: &Path) -> Result<Artifact, ImagesError> {
    let sha256 = hash::of_file(file)?;
    Ok(Artifact { name: package.name.clone(), version: package.version.clone(), sha256, path: None })
}

/// Unpacks one package into `folder`; its children hold `temp`.
pub(crate) fn extract(package: &Path, folder: &Path, temp: &TempDir) -> Result<(), ImagesError> {
    let mut command = Command::new("dpkg-deb");
    command.arg("-x").arg(package).arg(folder).env("LC_ALL", "C");
    run::run(command, temp.hold()?, None, |_| ()).map_err(|error| match error {
        ImagesError::DiskFull(_) => ImagesError::DiskFull(folder.to_owned()),
        other => other,
    })
}

pub(crate) fn lay_out(root: &Path) -> Result<(), ImagesError> {
    for (link, target) in LINKS {
        let folder = root.join(target);
        fs::create_dir_all(&folder).map_err(ImagesError::io(&folder))?;
        symlink(target, root.join(link)).map_err(ImagesError::io(root.join(link)))?;
    }
    Ok(())
}

fn discard(root: &Path, files: &[PathBuf]) -> Result<(), ImagesError> {
    for folder in SUPERFLUOUS.iter().map(|folder| root.join(folder)).filter(|folder| folder.exists()) {
        fs::remove_dir_all(&folder).map_err(ImagesError::io(&folder))?;
    }
    files.iter().try_for_each(|file| fs::remove_file(file).map_err(ImagesError::io(file)))
}
