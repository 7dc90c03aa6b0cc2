//! What `use` brings.

use super::source::Import;
use syn::{ItemUse, UseTree, Visibility};

/// The names that one `use` brings.
pub(super) fn imports(item: &ItemUse) -> Vec<Import> {
    let mut imports = Vec::new();
    if item.leading_colon.is_none() {
        let is_reexport = !matches!(item.vis, Visibility::Inherited);
        leaves(&item.tree, &mut Vec::new(), is_reexport, &mut imports);
    }
    imports
}

fn leaves(tree: &UseTree, path: &mut Vec<String>, is_reexport: bool, into: &mut Vec<Import>) {
    let mut leaf = |path: Vec<String>, name: Option<String>, line| into.push(Import { path, name, is_reexport, line });
    let line = |ident: &syn::Ident| ident.span().start().line;
    match tree {
        UseTree::Path(part) => {
            path.push(part.ident.to_string());
            leaves(&part.tree, path, is_reexport, into);
            path.pop();
        }
        UseTree::Group(group) => group.items.iter().for_each(|tree| leaves(tree, path, is_reexport, into)),
        UseTree::Glob(star) => leaf(path.clone(), None, star.star_token.spans[0].start().line),
        UseTree::Name(name) if name.ident == "self" => leaf(path.clone(), path.last().cloned(), line(&name.ident)),
        UseTree::Name(name) => leaf(joined(path, &name.ident), Some(name.ident.to_string()), line(&name.ident)),
        UseTree::Rename(name) if name.ident == "self" => {
            leaf(path.clone(), Some(name.rename.to_string()), line(&name.ident));
        }
        UseTree::Rename(name) => leaf(joined(path, &name.ident), Some(name.rename.to_string()), line(&name.ident)),
    }
}

fn joined(path: &[String], last: &syn::Ident) -> Vec<String> {
    path.iter().cloned().chain([last.to_string()]).collect()
}
