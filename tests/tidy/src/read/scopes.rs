//! The modules in a file: their names, imports and mentions.

use super::imports::imports;
use super::source::{ModuleDeclaration, Scope};
use super::{attributes, mentions, tokens};
use proc_macro2::TokenTree;
use syn::{File, ForeignItem, Item, ItemMacro, ItemMod};

/// The file's scope and those of the modules in it.
pub(super) fn all(file: &File) -> Vec<Scope> {
    let mut scopes = vec![Scope::default()];
    fill(&mut scopes, 0, &file.items);
    scopes
}

fn fill(scopes: &mut Vec<Scope>, at: usize, items: &[Item]) {
    for item in items {
        match item {
            Item::Use(item) => scopes[at].imports.extend(imports(item)),
            Item::Mod(module) => of_module(scopes, at, module),
            Item::Macro(call) => of_macro(&mut scopes[at], call),
            _ => scopes[at].items.extend(names(item)),
        }
        if !matches!(item, Item::Use(_)) {
            scopes[at].mentions.extend(mentions::of(item));
        }
    }
}

fn of_module(scopes: &mut Vec<Scope>, at: usize, module: &ItemMod) {
    let name = module.ident.to_string();
    if let Some((_, inner)) = &module.content {
        scopes.push(Scope { name, parent: Some(at), ..Scope::default() });
        let inside = scopes.len() - 1;
        fill(scopes, inside, inner);
    } else {
        let path = attributes::path(&module.attrs);
        scopes[at].modules.push(ModuleDeclaration { name, path });
    }
}

/// A macro's definition is an item; the words that a call is given may become items.
fn of_macro(scope: &mut Scope, call: &ItemMacro) {
    if let Some(name) = &call.ident {
        scope.items.insert(name.to_string());
        return;
    }
    for token in tokens::flat(call.mac.tokens.clone()).into_iter().flatten() {
        if let TokenTree::Ident(ident) = token {
            scope.perhaps.insert(ident.to_string());
        }
    }
}

fn names(item: &Item) -> Vec<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::ForeignMod(block) => {
            let functions = block.items.iter().filter_map(|item| match item {
                ForeignItem::Fn(item) => Some(item.sig.ident.to_string()),
                ForeignItem::Static(item) => Some(item.ident.to_string()),
                _ => None,
            });
            return functions.collect();
        }
        _ => return Vec::new(),
    };
    vec![ident.to_string()]
}
