//! Takes out of a file what is compiled for tests only.

use super::attributes::are_for_tests;
use std::ops::RangeInclusive;
use syn::spanned::Spanned;
use syn::visit_mut::{self, VisitMut};
use syn::{Attribute, Block, File, ImplItem, Item, ItemImpl, ItemMod, Stmt};

/// Leaves only what is compiled into the product; the lines of what was taken out.
pub(super) fn tests(file: &mut File) -> Vec<RangeInclusive<usize>> {
    let mut strip = Strip::default();
    strip.visit_file_mut(file);
    strip.lines
}

#[derive(Default)]
struct Strip {
    lines: Vec<RangeInclusive<usize>>,
}

impl Strip {
    fn keep<T: Spanned>(&mut self, parts: &mut Vec<T>, attributes: impl Fn(&T) -> &[Attribute]) {
        parts.retain(|part| {
            let is_test = are_for_tests(attributes(part));
            if is_test {
                self.lines.push(part.span().start().line..=part.span().end().line);
            }
            !is_test
        });
    }
}

impl VisitMut for Strip {
    fn visit_file_mut(&mut self, file: &mut File) {
        self.keep(&mut file.items, of_item);
        visit_mut::visit_file_mut(self, file);
    }

    fn visit_item_mod_mut(&mut self, module: &mut ItemMod) {
        if let Some((_, items)) = &mut module.content {
            self.keep(items, of_item);
        }
        visit_mut::visit_item_mod_mut(self, module);
    }

    fn visit_item_impl_mut(&mut self, block: &mut ItemImpl) {
        self.keep(&mut block.items, |item| match item {
            ImplItem::Const(item) => &item.attrs,
            ImplItem::Fn(item) => &item.attrs,
            ImplItem::Type(item) => &item.attrs,
            ImplItem::Macro(item) => &item.attrs,
            _ => &[],
        });
        visit_mut::visit_item_impl_mut(self, block);
    }

    fn visit_block_mut(&mut self, block: &mut Block) {
        self.keep(&mut block.stmts, |statement| match statement {
            Stmt::Local(local) => &local.attrs,
            Stmt::Item(item) => of_item(item),
            Stmt::Macro(call) => &call.attrs,
            Stmt::Expr(..) => &[],
        });
        visit_mut::visit_block_mut(self, block);
    }
}

/// An item's attributes.
fn of_item(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::ExternCrate(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::ForeignMod(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
