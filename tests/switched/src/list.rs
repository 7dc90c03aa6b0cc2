//! The list of mutants, made by cargo-mutants.

use crate::trouble::Trouble;
use serde::Deserialize;
use std::path::Path;
use std::process::Command;

/// A place in a source file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// The text that a mutant replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Extent {
    /// Its first character.
    pub start: Position,
    /// The one behind its last.
    pub end: Position,
}

/// What kind of text is replaced (`Genre` in `mutant.rs` of cargo-mutants 27.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Genre {
    /// The statements of a function, by a value.
    FnValue,
    /// A binary operator, by another.
    BinaryOperator,
    /// `!` or `-`, by nothing.
    UnaryOperator,
    /// An arm of a `match` that has an arm `_`, by nothing.
    MatchArm,
    /// The condition of an arm, by `true` or `false`.
    MatchArmGuard,
    /// A field of a structure's literal that has a base, by nothing.
    StructField,
}

/// One change of one place.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mutant {
    /// Its name, with file, line and column. No two have the same.
    pub name: String,
    /// The file, from the workspace's root.
    pub file: String,
    /// What is replaced.
    pub span: Extent,
    /// By what.
    pub replacement: String,
    /// What kind of text it is.
    pub genre: Genre,
}

/// Reads a list as `cargo mutants --list --json` prints it.
pub fn parse(json: &str) -> Result<Vec<Mutant>, Trouble> {
    serde_json::from_str(json).map_err(Trouble::List)
}

/// The mutants of `package` in the workspace at `root`. cargo-mutants must be installed.
pub fn list(root: &Path, package: &str) -> Result<Vec<Mutant>, Trouble> {
    let mut command = Command::new("cargo");
    command.args(["mutants", "--list", "--json", "--package", package]).current_dir(root);
    let shown = format!("cargo mutants --list --json --package {package}");
    let failed = |cause| Trouble::Command { command: shown.clone(), cause };
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let help = "`cargo install cargo-mutants --locked` installs it";
        return Err(failed(format!("{} ({help})", String::from_utf8_lossy(&output.stderr).trim())));
    }
    parse(&String::from_utf8_lossy(&output.stdout))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_genre_is_an_error() {
        let row = |genre: &str| {
            format!(
                r#"[{{"name":"n","package":"p","file":"src/lib.rs","function":null,"replacement":"","genre":"{genre}",
                "span":{{"start":{{"line":1,"column":2}},"end":{{"line":1,"column":3}}}},"diff":""}}]"#
            )
        };
        assert_eq!(parse(&row("UnaryOperator")).unwrap()[0].span.end.column, 3);
        assert!(matches!(parse(&row("Comment")), Err(Trouble::List(_))));
    }
}
