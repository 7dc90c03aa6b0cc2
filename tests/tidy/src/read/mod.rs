//! Reads a source file into plain data. Nothing else in this crate knows `syn`.

mod attributes;
mod functions;
mod imports;
mod mentions;
mod scopes;
mod source;
mod strip;
mod text;
mod tokens;
mod types;
mod unsafes;

pub use source::{Function, Import, Mention, ModuleDeclaration, Scope, SourceFile, Text, TypeItem, Unsafe};
pub use text::{NotRust, read};
