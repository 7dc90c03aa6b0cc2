//! Figures to quote: how large the parts are, and what stands against a reader.

mod entries;
mod largest;
mod words;

pub use entries::entries;
pub use largest::{fields, files, functions};
pub use words::words;

use crate::check::{known_cycles, known_homonyms};
use crate::graph::{Lost, Tree};
use crate::workspace::Workspace;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// The number of modules of each library and program.
pub fn modules(workspace: &Workspace) -> Result<String, Lost> {
    let mut text = String::new();
    for target in workspace.targets().filter(|target| target.is_product) {
        let _ = writeln!(text, "{:>6}  {}", Tree::of(target, workspace)?.files().count(), target.label);
    }
    Ok(text)
}

/// All cycles of modules with their arrows.
pub fn cycles(workspace: &Workspace) -> Result<String, Lost> {
    let mut text = String::new();
    for cycle in known_cycles(workspace)? {
        let _ = writeln!(text, "{:>6}  {}", cycle.modules.len(), cycle.crate_name);
        for arrow in &cycle.arrows {
            let _ = writeln!(text, "        {arrow}");
        }
    }
    Ok(text)
}

/// All names that several public types of one crate have.
pub fn homonyms(workspace: &Workspace) -> String {
    let mut text = String::new();
    for homonym in known_homonyms(workspace) {
        let modules = homonym.modules.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
        let _ = writeln!(text, "{:>6}  {} {}: {modules}", homonym.modules.len(), homonym.crate_name, homonym.name);
    }
    text
}

/// All types whose methods are written in several modules of a crate. Methods are what the graph of modules cannot see.
pub fn spread(workspace: &Workspace) -> Result<String, Lost> {
    let mut text = String::new();
    for target in workspace.targets().filter(|target| target.is_product) {
        let tree = Tree::of(target, workspace)?;
        let mut blocks: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for module in tree.files() {
            for name in &module.source.methods_of {
                blocks.entry(name).or_default().push(&module.path);
            }
        }
        for (name, modules) in blocks.into_iter().filter(|(_, modules)| modules.len() > 1) {
            let _ = writeln!(text, "{:>6}  {} {name}: {}", modules.len(), target.label, modules.join(", "));
        }
    }
    Ok(text)
}
