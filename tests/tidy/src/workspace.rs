//! The workspace as a value, so that checks need no disk.

use crate::paths::has_extension;
use crate::read::{NotRust, SourceFile, read};
use std::collections::{BTreeMap, BTreeSet};

/// Texts, packages, and what each source file says.
#[derive(Debug)]
pub struct Workspace {
    /// Each file of interest by its path from the root, with `/` between folders: the `*.rs` and `*.md` files, and those
    /// to which links may point, with an empty text.
    pub files: BTreeMap<String, String>,
    /// The workspace's members.
    pub packages: Vec<Package>,
    /// The Rust files among `files`, read.
    pub sources: BTreeMap<String, SourceFile>,
}

/// A member of the workspace.
#[derive(Clone, Debug, Default)]
pub struct Package {
    /// Its name in Cargo.toml.
    pub name: String,
    /// What cargo compiles of it.
    pub targets: Vec<Target>,
    /// The members that it needs, for building and for running.
    pub needs: BTreeSet<String>,
    /// The members that only its tests and benchmarks need.
    pub tests_need: BTreeSet<String>,
}

/// One crate that cargo compiles of a package.
#[derive(Clone, Debug)]
pub struct Target {
    /// What messages and `allowed.toml` call it: the package's name for a library, else `package:target`.
    pub label: String,
    /// Whether it is a library or program, rather than a test, a benchmark or an example.
    pub is_product: bool,
    /// Its first file, as a path from the workspace's root.
    pub root: String,
}

impl Workspace {
    /// Reads each Rust file among `files`.
    pub fn new(files: BTreeMap<String, String>, packages: Vec<Package>) -> Result<Self, NotRust> {
        let rust = files.iter().filter(|(path, _)| has_extension(path, "rs"));
        let sources = rust.map(|(path, text)| Ok((path.clone(), read(path, text)?))).collect::<Result<_, _>>()?;
        Ok(Self { files, packages, sources })
    }

    /// All crates of all packages.
    pub fn targets(&self) -> impl Iterator<Item = &Target> {
        self.packages.iter().flat_map(|package| &package.targets)
    }
}
