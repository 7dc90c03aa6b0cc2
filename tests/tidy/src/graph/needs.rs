//! The arrows between the modules of a crate.

use super::resolve::Found;
use super::tree::Tree;
use std::collections::BTreeMap;

/// That one module needs another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    /// Index of the module that needs.
    pub from: usize,
    /// Index of the module that is needed.
    pub to: usize,
    /// The first line that shows it.
    pub line: usize,
    /// What is named there.
    pub path: String,
    /// How many places show it.
    pub places: usize,
}

/// All arrows between modules that are files, each once.
pub fn needs(tree: &Tree<'_>) -> Vec<Need> {
    let mut needs = Needs { tree, arrows: BTreeMap::new() };
    for (at, module) in tree.modules.iter().enumerate() {
        for (index, import) in module.scope.imports.iter().enumerate() {
            for found in tree.resolve_import(at, index) {
                if let Found::Item(target) = found
                    && !(import.is_reexport && tree.is_below(target, at))
                {
                    needs.add(at, target, &import.path, import.line);
                }
            }
        }
        for mention in &module.scope.mentions {
            for found in tree.resolve(at, &mention.path) {
                if let Found::Item(target) = found {
                    needs.add(at, target, &mention.path, mention.line);
                }
            }
        }
    }
    needs.arrows.into_values().collect()
}

struct Needs<'a> {
    tree: &'a Tree<'a>,
    arrows: BTreeMap<(usize, usize), Need>,
}

impl Needs<'_> {
    fn add(&mut self, from: usize, to: usize, path: &[String], line: usize) {
        let (from, to) = (self.tree.modules[from].of_file, self.tree.modules[to].of_file);
        if from == to {
            return;
        }
        let first = Need { from, to, line, path: path.join("::"), places: 0 };
        let need = self.arrows.entry((from, to)).or_insert(first);
        need.places += 1;
        if line < need.line {
            need.line = line;
            need.path = path.join("::");
        }
    }
}
