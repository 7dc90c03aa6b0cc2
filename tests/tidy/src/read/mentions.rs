//! The paths that an item mentions.

use super::imports::imports;
use super::source::Mention;
use super::tokens;
use proc_macro2::Span;
use syn::visit::{self, Visit};
use syn::{Attribute, Item, ItemMod, ItemUse, LitStr, Macro, Meta, Path, Visibility};

/// All paths in this item, but not in modules inside it.
pub(super) fn of(item: &Item) -> Vec<Mention> {
    let mut seen = Mentions::default();
    seen.visit_item(item);
    seen.mentions
}

#[derive(Default)]
struct Mentions {
    mentions: Vec<Mention>,
}

impl Mentions {
    fn add(&mut self, path: &Path, span: Span) {
        if path.leading_colon.is_none() {
            let path = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
            self.mentions.push(Mention { path, line: span.start().line });
        }
    }
}

impl<'ast> Visit<'ast> for Mentions {
    fn visit_path(&mut self, path: &'ast Path) {
        if let Some(first) = path.segments.first() {
            self.add(path, first.ident.span());
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, call: &'ast Macro) {
        self.visit_path(&call.path);
        self.mentions.extend(tokens::mentions(call.tokens.clone()));
    }

    // serde and clap are given paths as tokens and as strings.
    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let Meta::List(list) = &attribute.meta {
            self.mentions.extend(tokens::mentions(list.tokens.clone()));
            for token in tokens::flat(list.tokens.clone()).into_iter().flatten() {
                if let Ok(text) = syn::parse2::<LitStr>(token.clone().into())
                    && let Ok(path) = text.parse::<Path>()
                {
                    self.add(&path, token.span());
                }
            }
        }
    }

    // Inside a function.
    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let imports = imports(item).into_iter();
        self.mentions.extend(imports.map(|import| Mention { path: import.path, line: import.line }));
    }

    fn visit_item_mod(&mut self, _: &'ast ItemMod) {}

    // `pub(super)` and `pub(in crate::a)` say who may look, and need nothing from there.
    fn visit_visibility(&mut self, _: &'ast Visibility) {}
}
