//! Small workspaces that are written in the test.

use std::collections::BTreeMap;
use tidy::architecture::Architecture;
use tidy::violation::Violation;
use tidy::workspace::{Package, Target, Workspace};

/// A workspace of one library `a` with these files; `src/lib.rs` is its root.
pub(crate) fn library(files: &[(&str, &str)]) -> Workspace {
    workspace(files, vec![package("a", &[])])
}

/// A workspace of these packages, with these files.
pub(crate) fn workspace(files: &[(&str, &str)], packages: Vec<Package>) -> Workspace {
    let files: BTreeMap<_, _> = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect();
    Workspace::new(files, packages).unwrap()
}

/// A library whose root is `src/lib.rs`, and which needs these packages.
pub(crate) fn package(name: &str, needs: &[&str]) -> Package {
    let root = Target { label: name.to_owned(), is_product: true, root: "src/lib.rs".to_owned() };
    let needs = needs.iter().map(|name| (*name).to_owned()).collect();
    Package { name: name.to_owned(), targets: vec![root], needs, ..Package::default() }
}

/// An architecture in which `a` needs `b`, `src/raw.rs` may be unsafe, and `src/machine` knows QEMU.
pub(crate) fn architecture() -> Architecture {
    let block = "# Map\n\n```toml tidy\n[arrows]\na = [\"b\"]\n[arrows-of-tests]\n[unsafe]\nfiles = [\"src/raw.rs\"]\n\
                 [qemu]\narguments = \"src/machine\"\n```\n";
    Architecture::parse(block).unwrap()
}

/// That there is one violation, with these parts in what it says.
#[track_caller]
pub(crate) fn one(violations: &[Violation], parts: &[&str]) {
    let [violation] = violations else { panic!("not one violation: {violations:#?}") };
    let text = violation.to_string();
    assert!(parts.iter().all(|part| text.contains(part)), "{text}");
}

/// That there is no violation.
#[track_caller]
pub(crate) fn none(violations: &[Violation]) {
    assert!(violations.is_empty(), "{violations:#?}");
}
