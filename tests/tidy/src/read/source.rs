//! What a source file says, as plain data.

use std::collections::{BTreeMap, BTreeSet};

/// One source file.
#[derive(Debug, Default)]
pub struct SourceFile {
    /// Lines that are not part of an item that is compiled for tests only.
    pub lines: usize,
    /// The file's own scope, then those of the modules that are written inside it, outermost first.
    pub scopes: Vec<Scope>,
    /// All functions with a body, tests included.
    pub functions: Vec<Function>,
    /// All structs, enums, unions, traits and type aliases at module level, without tests.
    pub types: Vec<TypeItem>,
    /// The types to which blocks at module level give methods (`impl Type`, no trait's), without tests.
    pub methods_of: BTreeSet<String>,
    /// All string literals, tests and what macros are given included.
    pub texts: Vec<Text>,
    /// All uses of `unsafe`, tests included.
    pub unsafes: Vec<Unsafe>,
    /// How often each identifier stands in the file, tests included.
    pub identifiers: BTreeMap<String, usize>,
}

/// The names of one module, and what it mentions. Tests are left out.
#[derive(Debug, Default)]
pub struct Scope {
    /// The name of a module that is written inside the file; empty for the file itself.
    pub name: String,
    /// Which of the file's scopes it stands in.
    pub parent: Option<usize>,
    /// What is defined here.
    pub items: BTreeSet<String>,
    /// Identifiers given to macros that stand in an item's place: some of them become items.
    pub perhaps: BTreeSet<String>,
    /// Modules that are files of their own.
    pub modules: Vec<ModuleDeclaration>,
    /// `use` at module level.
    pub imports: Vec<Import>,
    /// Paths in types, expressions, patterns, attributes and macros, and `use` inside functions.
    pub mentions: Vec<Mention>,
}

/// `mod name;`
#[derive(Debug)]
pub struct ModuleDeclaration {
    /// The module's name.
    pub name: String,
    /// What `#[path]` says.
    pub path: Option<String>,
}

/// One name that `use` brings.
#[derive(Debug)]
pub struct Import {
    /// The path that is used; for `use path::*` without the star.
    pub path: Vec<String>,
    /// Under which name; none for `*`.
    pub name: Option<String>,
    /// Whether others see it here: `pub use`, `pub(crate) use`.
    pub is_reexport: bool,
    /// Where it stands.
    pub line: usize,
}

/// A path that is mentioned.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mention {
    /// Its segments without generic arguments.
    pub path: Vec<String>,
    /// Where it stands.
    pub line: usize,
}

/// A function with a body.
#[derive(Debug)]
pub struct Function {
    /// `name`, or `Type::name`.
    pub name: String,
    /// Where its signature begins.
    pub line: usize,
    /// Lines from the signature to the closing brace.
    pub lines: usize,
}

/// A type or trait at module level.
#[derive(Debug)]
pub struct TypeItem {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub line: usize,
    /// Whether anything outside its module can name it.
    pub is_public: bool,
    /// How many of its fields are public.
    pub public_fields: usize,
}

/// A string literal.
#[derive(Debug)]
pub struct Text {
    /// Its value.
    pub value: String,
    /// Where it stands.
    pub line: usize,
}

/// A use of `unsafe`.
#[derive(Debug)]
pub struct Unsafe {
    /// Where the keyword stands.
    pub line: usize,
    /// Whether it must say why it is sound: blocks and implementations do.
    pub needs_reason: bool,
    /// Whether a comment directly above it says so.
    pub has_reason: bool,
}
