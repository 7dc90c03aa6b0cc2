//! What can be read from tokens alone, and so inside macros, too.

use super::source::{Mention, Text};
use proc_macro2::{Ident, TokenStream, TokenTree};
use std::collections::BTreeMap;
use syn::LitStr;

/// All tokens in order, those of groups behind one another; where a group begins and ends, `None`.
pub(super) fn flat(stream: TokenStream) -> Vec<Option<TokenTree>> {
    fn walk(stream: TokenStream, into: &mut Vec<Option<TokenTree>>) {
        for token in stream {
            if let TokenTree::Group(group) = token {
                into.push(None);
                walk(group.stream(), into);
                into.push(None);
            } else {
                into.push(Some(token));
            }
        }
    }
    let mut tokens = Vec::new();
    walk(stream, &mut tokens);
    tokens
}

/// All identifiers and how often each occurs.
pub(super) fn identifiers(stream: TokenStream) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for token in flat(stream).into_iter().flatten() {
        if let TokenTree::Ident(ident) = token {
            *counts.entry(ident.to_string()).or_default() += 1;
        }
    }
    counts
}

/// All string literals but doc comments.
pub(super) fn texts(stream: TokenStream) -> Vec<Text> {
    let mut texts = Vec::new();
    let mut before = None;
    for token in flat(stream).into_iter().flatten() {
        if let TokenTree::Literal(literal) = &token
            && before.as_deref() != Some("doc =")
            && let Ok(text) = syn::parse_str::<LitStr>(&literal.to_string())
        {
            texts.push(Text { value: text.value(), line: literal.span().start().line });
        }
        before = match (&token, before.as_deref()) {
            (TokenTree::Ident(ident), _) if ident == "doc" => Some("doc".to_owned()),
            (TokenTree::Punct(punct), Some("doc")) if punct.as_char() == '=' => Some("doc =".to_owned()),
            _ => None,
        };
    }
    texts
}

/// Whatever in a macro's tokens looks like a path. An identifier behind a dot is a field or method, and no path.
pub(super) fn mentions(stream: TokenStream) -> Vec<Mention> {
    let tokens = flat(stream);
    let token = |at: usize| tokens.get(at).and_then(Option::as_ref);
    let mut mentions = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let behind_dot = at > 0 && is_punct(token(at - 1), '.');
        let Some(first) = ident(token(at)) else {
            at += 1;
            continue;
        };
        let mut path = vec![first.to_string()];
        at += 1;
        while is_punct(token(at), ':')
            && is_punct(token(at + 1), ':')
            && let Some(next) = ident(token(at + 2))
        {
            path.push(next.to_string());
            at += 3;
        }
        if !behind_dot || path.len() > 1 {
            mentions.push(Mention { path, line: first.span().start().line });
        }
    }
    mentions
}

fn is_punct(token: Option<&TokenTree>, character: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == character)
}

fn ident(token: Option<&TokenTree>) -> Option<Ident> {
    match token {
        Some(TokenTree::Ident(ident)) => Some(ident.clone()),
        _ => None,
    }
}
