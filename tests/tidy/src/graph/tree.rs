//! The modules of a crate.

use crate::paths::{folder, joined};
use crate::read::{ModuleDeclaration, Scope, SourceFile};
use crate::workspace::{Target, Workspace};
use std::collections::BTreeMap;
use std::slice;

/// All modules of one crate, the crate's root first.
#[derive(Debug)]
pub struct Tree<'a> {
    /// In the order of their declarations, each behind its parent.
    pub modules: Vec<Module<'a>>,
}

/// One module: a file, or a module that is written inside one.
#[derive(Debug)]
pub struct Module<'a> {
    /// Its path, such as `run::live`; `crate` for the root.
    pub path: String,
    /// The file in which it is.
    pub file: &'a str,
    /// What that file says.
    pub source: &'a SourceFile,
    /// Which module stands for the file; the module itself unless it is written inside a file.
    pub of_file: usize,
    pub(super) scope: &'a Scope,
    pub(super) parent: Option<usize>,
    pub(super) children: BTreeMap<&'a str, usize>,
}

/// A module whose file is not there.
#[derive(Debug, thiserror::Error)]
#[error("{declared_in} declares the module `{name}`, of which no file is known: looked for {}", looked_for.join(" and "))]
pub struct Lost {
    declared_in: String,
    name: String,
    looked_for: Vec<String>,
}

impl<'a> Tree<'a> {
    /// Follows the declarations of modules from the crate's first file.
    pub fn of(target: &'a Target, workspace: &'a Workspace) -> Result<Self, Lost> {
        let mut tree = Self { modules: Vec::new() };
        let file = known(workspace, &target.label, &target.root, slice::from_ref(&target.root))?;
        tree.add_file(workspace, file, None, "crate", folder(file))?;
        Ok(tree)
    }

    /// The modules that are files.
    pub fn files(&self) -> impl Iterator<Item = &Module<'a>> {
        self.modules.iter().enumerate().filter(|(at, module)| module.of_file == *at).map(|(_, module)| module)
    }

    /// Whether the module `inner` lies below `outer`.
    pub(super) fn is_below(&self, inner: usize, outer: usize) -> bool {
        let mut above = self.modules[inner].parent;
        while let Some(at) = above {
            if at == outer {
                return true;
            }
            above = self.modules[at].parent;
        }
        false
    }

    /// Adds a file with all that is below it; `folder` is where its children's files are.
    fn add_file(
        &mut self,
        workspace: &'a Workspace,
        file: &'a str,
        parent: Option<usize>,
        path: &str,
        folder: &str,
    ) -> Result<usize, Lost> {
        let source = &workspace.sources[file];
        let first = self.modules.len();
        let mut folders = vec![folder.to_owned()];
        for (index, scope) in source.scopes.iter().enumerate() {
            let parent = scope.parent.map_or(parent, |inside| Some(first + inside));
            let path = if index == 0 {
                path.to_owned()
            } else {
                below(&self.modules[parent.unwrap_or(first)].path, &scope.name)
            };
            self.modules.push(Module { path, file, source, of_file: first, scope, parent, children: BTreeMap::new() });
            if let (Some(inside), Some(parent)) = (scope.parent, parent) {
                self.modules[parent].children.insert(&scope.name, first + index);
                folders.push(format!("{}/{}", folders[inside], scope.name));
            }
        }
        for (index, scope) in source.scopes.iter().enumerate() {
            for declaration in &scope.modules {
                self.add_child(workspace, first + index, declaration, &folders[index])?;
            }
        }
        Ok(first)
    }

    fn add_child(
        &mut self,
        workspace: &'a Workspace,
        parent: usize,
        declaration: &'a ModuleDeclaration,
        beside: &str,
    ) -> Result<(), Lost> {
        let name = declaration.name.trim_start_matches("r#");
        let declared_in = self.modules[parent].file;
        let candidates = match &declaration.path {
            Some(path) => vec![joined(folder(declared_in), path)],
            None => vec![joined(beside, &format!("{name}.rs")), joined(beside, &format!("{name}/mod.rs"))],
        };
        let file = known(workspace, declared_in, name, &candidates)?;
        let is_like_mod_rs = declaration.path.is_some() || file.ends_with("/mod.rs");
        let inside = if is_like_mod_rs { folder(file).to_owned() } else { joined(beside, name) };
        let path = below(&self.modules[parent].path, name);
        let child = self.add_file(workspace, file, Some(parent), &path, &inside)?;
        self.modules[parent].children.insert(&declaration.name, child);
        Ok(())
    }
}

fn known<'a>(workspace: &'a Workspace, declared_in: &str, name: &str, candidates: &[String]) -> Result<&'a str, Lost> {
    let found = candidates.iter().find_map(|path| workspace.sources.get_key_value(path));
    let lost = || Lost { declared_in: declared_in.to_owned(), name: name.to_owned(), looked_for: candidates.to_vec() };
    found.map(|(path, _)| path.as_str()).ok_or_else(lost)
}

fn below(parent: &str, name: &str) -> String {
    if parent == "crate" { name.to_owned() } else { format!("{parent}::{name}") }
}
