//! Files and functions are short.

use crate::allowed::{Allowed, FILE};
use crate::graph::Tree;
use crate::violation::Violation;
use crate::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};

/// As many lines a file may have. The tests in a file of the product do not count; a file of tests counts whole.
pub const FILE_LINES: usize = 400;
/// As many lines a function may have, from its signature to its closing brace.
pub const FUNCTION_LINES: usize = 60;

/// The lines of each source file that count.
pub fn lines(workspace: &Workspace) -> BTreeMap<&str, usize> {
    let mut product = BTreeSet::new();
    for target in workspace.targets().filter(|target| target.is_product) {
        // That a module's file is missing, the check of cycles says.
        let tree = Tree::of(target, workspace);
        product.extend(tree.iter().flat_map(Tree::files).map(|module| module.file));
    }
    let lines = |path: &str, without_tests| {
        if product.contains(path) { without_tests } else { workspace.files[path].lines().count() }
    };
    workspace.sources.iter().map(|(path, source)| (path.as_str(), lines(path, source.lines))).collect()
}

/// Complains of what is longer than allowed, and of entries for what is short or gone.
pub fn sizes(workspace: &Workspace, allowed: &Allowed) -> Vec<Violation> {
    let mut violations = files(workspace, allowed);
    violations.extend(functions(workspace, allowed));
    violations
}

fn files(workspace: &Workspace, allowed: &Allowed) -> Vec<Violation> {
    let lines = lines(workspace);
    let mut violations = Vec::new();
    for (path, lines) in &lines {
        let entry = allowed.file.iter().find(|entry| entry.path == *path);
        let limit = entry.map_or(FILE_LINES, |entry| entry.at_most);
        if *lines > limit {
            violations.push(Violation::at(*path, too_long("the file", *lines, limit)));
        }
    }
    let is_long = |path: &str| lines.get(path).is_some_and(|lines| *lines > FILE_LINES);
    let gone = allowed.file.iter().filter(|entry| !is_long(&entry.path));
    violations.extend(gone.map(|entry| Violation::at(&entry.path, not_needed("the file", FILE_LINES))));
    violations
}

fn functions(workspace: &Workspace, allowed: &Allowed) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut long = BTreeSet::new();
    for (path, source) in &workspace.sources {
        for function in source.functions.iter().filter(|function| function.lines > FUNCTION_LINES) {
            long.insert((path.as_str(), function.name.as_str()));
            let entry = allowed.function.iter().find(|entry| entry.path == *path && entry.name == function.name);
            let limit = entry.map_or(FUNCTION_LINES, |entry| entry.at_most);
            if function.lines > limit {
                let text = too_long(&function.name, function.lines, limit);
                violations.push(Violation::on(path, function.line, text));
            }
        }
    }
    let gone = allowed.function.iter().filter(|entry| !long.contains(&(entry.path.as_str(), entry.name.as_str())));
    violations.extend(gone.map(|entry| Violation::at(&entry.path, not_needed(&entry.name, FUNCTION_LINES))));
    violations
}

fn too_long(what: &str, lines: usize, limit: usize) -> String {
    format!("{what} has {lines} lines, more than {limit} (if it has to be, say why in {FILE})")
}

fn not_needed(what: &str, limit: usize) -> String {
    format!("{what} is gone or has no more than {limit} lines; take it out of {FILE}")
}
