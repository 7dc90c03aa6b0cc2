//! Reads a workspace from disk.

use crate::paths::has_extension;
use crate::read::NotRust;
use crate::workspace::{Package, Target, Workspace};
use cargo_metadata::{DependencyKind, Metadata, MetadataCommand, TargetKind};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Why a workspace cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// `cargo metadata` fails.
    #[error("cargo cannot tell what the workspace has: {0}")]
    Metadata(#[from] cargo_metadata::Error),
    /// The folder cannot be walked.
    #[error("cannot list the files: {0}")]
    Walk(#[from] ignore::Error),
    /// A file cannot be read.
    #[error("cannot read {}: {cause}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A file is not Rust.
    #[error(transparent)]
    NotRust(#[from] NotRust),
}

/// The workspace whose Cargo.toml lies in the folder `root`: all files that git does not ignore.
pub fn load(root: &Path) -> Result<Workspace, LoadError> {
    let metadata = MetadataCommand::new().manifest_path(root.join("Cargo.toml")).no_deps().exec()?;
    let root = metadata.workspace_root.as_std_path();
    let packages = packages(&metadata, root);
    Ok(Workspace::new(files(root)?, packages)?)
}

fn files(root: &Path) -> Result<BTreeMap<String, String>, LoadError> {
    let mut files = BTreeMap::new();
    // Hidden folders such as `.ci` are linked to, too.
    let walk = ignore::WalkBuilder::new(root).hidden(false).filter_entry(|entry| entry.file_name() != ".git").build();
    for entry in walk {
        let entry = entry?;
        if entry.file_type().is_some_and(|kind| kind.is_dir()) {
            continue;
        }
        let name = relative(entry.path(), root);
        let is_read = ["rs", "md"].iter().any(|extension| has_extension(&name, extension));
        let cause = |cause| LoadError::File { path: entry.path().to_owned(), cause };
        let text = if is_read { fs::read_to_string(entry.path()).map_err(cause)? } else { String::new() };
        files.insert(name, text);
    }
    Ok(files)
}

fn packages(metadata: &Metadata, root: &Path) -> Vec<Package> {
    let members: Vec<_> = metadata.workspace_packages();
    let ours: BTreeSet<&str> = members.iter().map(|package| package.name.as_str()).collect();
    let needs = |package: &cargo_metadata::Package, is_wanted: fn(DependencyKind) -> bool| {
        let wanted = package.dependencies.iter().filter(|dependency| is_wanted(dependency.kind));
        wanted.map(|dependency| dependency.name.clone()).filter(|name| ours.contains(name.as_str())).collect()
    };
    let convert = |package: &&cargo_metadata::Package| Package {
        name: package.name.to_string(),
        targets: package.targets.iter().map(|one| target(&package.name, one, root)).collect(),
        needs: needs(package, |kind| kind != DependencyKind::Development),
        tests_need: needs(package, |kind| kind == DependencyKind::Development),
    };
    members.iter().map(convert).collect()
}

fn target(package: &str, target: &cargo_metadata::Target, root: &Path) -> Target {
    let is = |kinds: &[TargetKind]| target.kind.iter().any(|kind| kinds.contains(kind));
    let is_program = is(&[TargetKind::Bin]);
    let is_other = is(&[TargetKind::Test, TargetKind::Bench, TargetKind::Example, TargetKind::CustomBuild]);
    let is_library = !is_program && !is_other;
    let label = if is_library { package.to_owned() } else { format!("{package}:{}", target.name) };
    Target { label, is_product: is_library || is_program, root: relative(target.src_path.as_std_path(), root) }
}

fn relative(path: &Path, root: &Path) -> String {
    path.strip_prefix(root).unwrap_or(path).to_string_lossy().into_owned()
}
