//! From a file's text to what it says.

use super::source::SourceFile;
use super::{functions, scopes, strip, tokens, types, unsafes};
use proc_macro2::TokenStream;

/// A file that cannot be parsed.
#[derive(Debug, thiserror::Error)]
#[error("{path}:{line}: {cause}")]
pub struct NotRust {
    /// The file.
    pub path: String,
    /// Where parsing ended.
    pub line: usize,
    /// What the parser says.
    pub cause: syn::Error,
}

/// Reads the text of the file `path`.
pub fn read(path: &str, text: &str) -> Result<SourceFile, NotRust> {
    let not_rust = |cause: syn::Error| NotRust { path: path.to_owned(), line: cause.span().start().line, cause };
    let stream: TokenStream = text.parse().map_err(|cause: proc_macro2::LexError| not_rust(cause.into()))?;
    let mut file = syn::parse2(stream.clone()).map_err(not_rust)?;
    let mut source = SourceFile {
        functions: functions::all(&file),
        texts: tokens::texts(stream.clone()),
        unsafes: unsafes::all(&file, stream.clone(), text),
        identifiers: tokens::identifiers(stream),
        ..SourceFile::default()
    };
    let tests = strip::tests(&mut file);
    let is_test = |line: &usize| tests.iter().any(|lines| lines.contains(line));
    source.lines = (1..=text.lines().count()).filter(|line| !is_test(line)).count();
    source.scopes = scopes::all(&file);
    source.types = types::all(&file);
    source.methods_of = types::with_methods(&file);
    Ok(source)
}
