//! Types and traits at module level.

use super::source::TypeItem;
use std::collections::BTreeSet;
use syn::{Fields, File, Ident, Item, Type, Visibility};

/// All of them, those of modules inside the file, too.
pub(super) fn all(file: &File) -> Vec<TypeItem> {
    let mut types = Vec::new();
    collect(&file.items, &mut types);
    types
}

fn collect(items: &[Item], into: &mut Vec<TypeItem>) {
    for item in items {
        match item {
            Item::Mod(module) => collect(module.content.as_ref().map_or(&[], |(_, items)| items), into),
            Item::Struct(item) => into.push(of(&item.ident, &item.vis, public(&item.fields))),
            Item::Union(item) => into.push(of(&item.ident, &item.vis, public(&Fields::Named(item.fields.clone())))),
            Item::Enum(item) => into.push(of(&item.ident, &item.vis, 0)),
            Item::Trait(item) => into.push(of(&item.ident, &item.vis, 0)),
            Item::Type(item) => into.push(of(&item.ident, &item.vis, 0)),
            _ => {}
        }
    }
}

/// The types that are given methods of their own.
pub(super) fn with_methods(file: &File) -> BTreeSet<String> {
    let blocks = file.items.iter().filter_map(|item| match item {
        Item::Impl(block) if block.trait_.is_none() => Some(&*block.self_ty),
        _ => None,
    });
    let names = blocks.filter_map(|of| match of {
        Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
        _ => None,
    });
    names.collect()
}

fn of(name: &Ident, visibility: &Visibility, public_fields: usize) -> TypeItem {
    let line = name.span().start().line;
    TypeItem { name: name.to_string(), line, is_public: is_public(visibility), public_fields }
}

fn public(fields: &Fields) -> usize {
    fields.iter().filter(|field| is_public(&field.vis)).count()
}

fn is_public(visibility: &Visibility) -> bool {
    !matches!(visibility, Visibility::Inherited)
}
