//! Uses of `unsafe`, and whether they say why they are sound.

use super::source::Unsafe;
use super::tokens;
use proc_macro2::{TokenStream, TokenTree};
use std::collections::BTreeSet;
use syn::visit::{self, Visit};
use syn::{ExprUnsafe, File, ItemImpl};

/// All of them, those that only tokens show (inside macros and attributes), too.
pub(super) fn all(file: &File, stream: TokenStream, text: &str) -> Vec<Unsafe> {
    let mut blocks = Blocks::default();
    blocks.visit_file(file);
    let lines: Vec<&str> = text.lines().collect();
    let keywords = tokens::flat(stream).into_iter().flatten().filter_map(|token| match token {
        TokenTree::Ident(ident) if ident == "unsafe" => Some(ident.span().start().line),
        _ => None,
    });
    keywords
        .map(|line| Unsafe {
            line,
            needs_reason: blocks.lines.contains(&line),
            has_reason: says_why(&lines[..line - 1]),
        })
        .collect()
}

/// Where the blocks and implementations are.
#[derive(Default)]
struct Blocks {
    lines: BTreeSet<usize>,
}

impl<'ast> Visit<'ast> for Blocks {
    fn visit_expr_unsafe(&mut self, block: &'ast ExprUnsafe) {
        self.lines.insert(block.unsafe_token.span.start().line);
        visit::visit_expr_unsafe(self, block);
    }

    fn visit_item_impl(&mut self, block: &'ast ItemImpl) {
        if let Some(keyword) = &block.unsafety {
            self.lines.insert(keyword.span.start().line);
        }
        visit::visit_item_impl(self, block);
    }
}

/// Whether the comment at the end of these lines, attributes aside, has a line that begins with `// SAFETY:`.
fn says_why(above: &[&str]) -> bool {
    let trimmed = above.iter().rev().map(|line| line.trim_start());
    let mut comment = trimmed.skip_while(|line| line.starts_with("#[")).take_while(|line| line.starts_with("//"));
    comment.any(|line| line.starts_with("// SAFETY:"))
}
