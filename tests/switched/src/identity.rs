//! Hashes that say whether a result is about the same program.

use crate::compile::TargetName;
use crate::tree;
use crate::trouble::Trouble;
use cargo_metadata::{Metadata, MetadataCommand};
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// What results depend on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The test programs and all files in the package's folder.
    pub program: String,
    /// Only what decides whether the crate compiles: no tests.
    pub sources: String,
}

/// The identity of a package's tests. `original` is the folder of the workspace that was copied.
pub fn of(original: &Path, package: &str, programs: &[(TargetName, PathBuf)]) -> Result<Identity, Trouble> {
    let metadata = MetadataCommand::new().current_dir(original).no_deps().exec();
    let metadata =
        metadata.map_err(|error| Trouble::Command { command: "cargo metadata".into(), cause: error.to_string() })?;
    let folders = folders(&metadata, package);
    let own = folders.first().ok_or_else(|| Trouble::NoPackage(package.to_owned()))?;
    let mut program = Sha256::new();
    for (_, path) in programs {
        add(&mut program, path)?;
    }
    for file in tree::files(own)? {
        add(&mut program, &own.join(file))?;
    }
    let mut sources = Sha256::new();
    for folder in &folders {
        let is_test = |file: &&PathBuf| ["tests", "benches", "examples"].iter().any(|name| file.starts_with(name));
        for file in tree::files(folder)?.iter().filter(|file| !is_test(file)) {
            add(&mut sources, &folder.join(file))?;
        }
    }
    for file in ["Cargo.toml", "Cargo.lock"].map(|name| original.join(name)) {
        if file.exists() {
            add(&mut sources, &file)?;
        }
    }
    Ok(Identity { program: short(program), sources: short(sources) })
}

/// The folder of a package, and after it those of the members that it needs.
fn folders(metadata: &Metadata, package: &str) -> Vec<PathBuf> {
    let mut wanted = vec![package.to_owned()];
    let mut seen = BTreeSet::new();
    let mut folders = Vec::new();
    while let Some(name) = wanted.pop() {
        if let Some(found) = metadata.packages.iter().find(|one| one.name.as_str() == name)
            && seen.insert(name)
        {
            folders.extend(found.manifest_path.parent().map(|path| path.as_std_path().to_owned()));
            wanted.extend(found.dependencies.iter().filter(|one| one.path.is_some()).map(|one| one.name.clone()));
        }
    }
    folders
}

fn add(hash: &mut Sha256, path: &Path) -> Result<(), Trouble> {
    let content = fs::read(path).map_err(Trouble::file("read", path))?;
    hash.update(Sha256::digest(content));
    Ok(())
}

fn short(hash: Sha256) -> String {
    hex::encode(&hash.finalize()[..16])
}
