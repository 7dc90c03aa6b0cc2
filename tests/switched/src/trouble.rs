//! Why a measurement ends without a result.

use std::io;
use std::path::{Path, PathBuf};

/// What went wrong, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// A file or folder cannot be read or written.
    #[error("cannot {action} {}: {cause}", path.display())]
    File {
        /// What was to be done with it.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system says.
        cause: io::Error,
    },
    /// A program cannot be started, or ends with an error.
    #[error("`{command}` fails: {cause}")]
    Command {
        /// The command.
        command: String,
        /// Its last lines, or what the system says.
        cause: String,
    },
    /// The list of mutants has a form that this program does not know.
    #[error("cannot read the list of mutants: {0}; the form is that of `cargo mutants --list --json`, version 27")]
    List(serde_json::Error),
    /// The list is about a text that is not there.
    #[error("{file} has no place {line}:{column}, which the list of mutants names; list them again")]
    NoSuchPlace {
        /// The file.
        file: String,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
    },
    /// A source file cannot be parsed.
    #[error("{file} is not Rust: {cause}")]
    NotRust {
        /// The file.
        file: String,
        /// What the parser says.
        cause: syn::Error,
    },
    /// The workspace has no such package.
    #[error("the workspace has no package {0}")]
    NoPackage(String),
    /// The compiler refuses the rewritten program for a reason that no mutant explains.
    #[error("the rewritten program does not compile, and no mutant explains why:\n{0}")]
    NeverCompiles(String),
    /// The tests fail without any mutant, so they can notice none.
    #[error("the tests fail without a mutant: {0}; repair them first")]
    Baseline(String),
}

impl Trouble {
    /// For `map_err`: what was to be done with the file at `path`.
    pub fn file(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |cause| Self::File { action, path, cause }
    }
}
