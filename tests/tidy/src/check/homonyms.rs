//! Within a crate a public type's name is its own.

use crate::allowed::{AllowedHomonym, FILE};
use crate::graph::Tree;
use crate::violation::Violation;
use crate::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};

/// A name that several modules of a crate give to a type or trait that others can name.
#[derive(Debug)]
pub struct Homonym {
    /// The crate's label.
    pub crate_name: String,
    /// The name.
    pub name: String,
    /// The modules that define it, each with its place.
    pub modules: BTreeMap<String, String>,
}

/// All homonyms of all crates.
pub fn known_homonyms(workspace: &Workspace) -> Vec<Homonym> {
    let mut homonyms = Vec::new();
    for target in workspace.targets() {
        // That a module's file is missing, the check of cycles says.
        let Ok(tree) = Tree::of(target, workspace) else { continue };
        let mut names: BTreeMap<&str, BTreeMap<String, String>> = BTreeMap::new();
        for module in tree.files() {
            for item in module.source.types.iter().filter(|item| item.is_public) {
                let place = format!("{}:{}", module.file, item.line);
                names.entry(&item.name).or_default().insert(module.path.clone(), place);
            }
        }
        let shared = names.into_iter().filter(|(_, modules)| modules.len() > 1);
        homonyms.extend(shared.map(|(name, modules)| Homonym {
            crate_name: target.label.clone(),
            name: name.to_owned(),
            modules,
        }));
    }
    homonyms
}

/// Complains of each homonym that is not on the list just as it is, and of each entry without its homonym.
pub fn homonyms(workspace: &Workspace, allowed: &[AllowedHomonym]) -> Vec<Violation> {
    let found = known_homonyms(workspace);
    let is = |entry: &AllowedHomonym, homonym: &Homonym| {
        let modules: BTreeSet<&String> = homonym.modules.keys().collect();
        entry.crate_name == homonym.crate_name && entry.name == homonym.name && entry.modules.iter().eq(modules)
    };
    let new = found.iter().filter(|homonym| !allowed.iter().any(|entry| is(entry, homonym)));
    let new = new.map(|homonym| {
        let places = homonym.modules.values().map(String::as_str).collect::<Vec<_>>().join(", ");
        Violation::at(&homonym.crate_name, format!("{} is the name of several types: {places}", homonym.name))
    });
    let gone = allowed.iter().filter(|entry| !found.iter().any(|homonym| is(entry, homonym)));
    let gone = gone.map(|entry| {
        let text = format!("{} is not shared by just the modules that {FILE} has; mend the entry", entry.name);
        Violation::at(&entry.crate_name, text)
    });
    new.chain(gone).collect()
}
