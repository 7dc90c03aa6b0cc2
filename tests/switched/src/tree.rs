//! A copy of the workspace to change.

use crate::trouble::Trouble;
use ignore::WalkBuilder;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A copy of a workspace: all files that git does not ignore.
#[derive(Debug)]
pub struct Tree {
    /// Its root.
    pub root: PathBuf,
    /// Where cargo builds. No two trees share it: files of the same name in both are one to cargo, so that it would take the
    /// program of one tree's mutant for the other's.
    pub build: PathBuf,
}

impl Tree {
    /// Copies the workspace at `from` into the folder `root`. A file that is there with the same text is not written, so
    /// that cargo need not compile it again; one that `from` lacks is removed.
    pub fn copy(from: &Path, root: PathBuf, build: PathBuf) -> Result<Self, Trouble> {
        let tree = Self { root, build };
        let wanted = files(from)?;
        for path in &wanted {
            let source = from.join(path);
            let text = fs::read(&source).map_err(Trouble::file("read", &source))?;
            tree.write(path, &text)?;
        }
        for path in files(&tree.root)?.difference(&wanted) {
            let gone = tree.root.join(path);
            fs::remove_file(&gone).map_err(Trouble::file("remove", &gone))?;
        }
        Ok(tree)
    }

    /// Writes a file of the tree, if its text is another.
    pub fn write(&self, path: &Path, text: &[u8]) -> Result<(), Trouble> {
        let to = self.root.join(path);
        if fs::read(&to).is_ok_and(|old| old == text) {
            return Ok(());
        }
        let folder = to.parent().expect("it is a file in the tree");
        fs::create_dir_all(folder).map_err(Trouble::file("make", folder))?;
        fs::write(&to, text).map_err(Trouble::file("write", &to))
    }

    /// Reads a file of the tree as text.
    pub fn read(&self, path: &str) -> Result<String, Trouble> {
        let from = self.root.join(path);
        fs::read_to_string(&from).map_err(Trouble::file("read", &from))
    }
}

/// The files under `root` that git does not ignore, from there.
pub fn files(root: &Path) -> Result<BTreeSet<PathBuf>, Trouble> {
    let mut found = BTreeSet::new();
    if !root.is_dir() {
        return Ok(found);
    }
    let walk = WalkBuilder::new(root)
        .hidden(false)
        .parents(false)
        .require_git(false)
        .filter_entry(|entry| entry.file_name() != ".git")
        .build();
    for entry in walk {
        let unlisted =
            |error: ignore::Error| Trouble::Command { command: "list files".into(), cause: error.to_string() };
        let entry = entry.map_err(unlisted)?;
        if entry.file_type().is_some_and(|kind| kind.is_file()) {
            found.insert(entry.path().strip_prefix(root).expect("the walk begins there").to_owned());
        }
    }
    Ok(found)
}
