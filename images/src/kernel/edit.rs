//! Changes to the kernel's source, for kernels that are wrong on purpose.

use crate::ImagesError;
use regex::{NoExpand, Regex};
use serde::{Deserialize, Serialize};
use std::path::{Component, Path};

/// One change to a source file, as `sed` would make it: every match is replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceEdit {
    /// Path in the kernel source, such as `arch/x86/virt/vmx/tdx/seamldr.c`.
    pub file: String,
    /// What is replaced.
    pub from: Pattern,
    /// By what. With [`Pattern::Regex`], `$1` and `${name}` stand for groups.
    pub to: String,
}

/// What an edit looks for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pattern {
    /// This very text.
    Literal(String),
    /// A regular expression of the regex crate. `(?m)` makes `^` and `$` match at lines.
    Regex(String),
}

impl SourceEdit {
    /// Replaces this very text.
    pub fn literal(file: &str, from: &str, to: &str) -> Self {
        Self { file: file.into(), from: Pattern::Literal(from.into()), to: to.into() }
    }

    /// Replaces what a regular expression matches.
    pub fn regex(file: &str, from: &str, to: &str) -> Self {
        Self { file: file.into(), from: Pattern::Regex(from.into()), to: to.into() }
    }

    /// The text after the edit. An edit that changes nothing is an error.
    pub(crate) fn apply(&self, text: &str) -> Result<String, ImagesError> {
        let changed = match &self.from {
            Pattern::Literal(from) => {
                self.regex_of(&regex::escape(from))?.replace_all(text, NoExpand(&self.to)).into_owned()
            }
            Pattern::Regex(from) => self.regex_of(from)?.replace_all(text, &self.to).into_owned(),
        };
        if changed == text { Err(self.error("it matches nothing, or changes nothing")) } else { Ok(changed) }
    }

    fn regex_of(&self, pattern: &str) -> Result<Regex, ImagesError> {
        Regex::new(pattern).map_err(|error| self.error(error.to_string().replace('\n', " ")))
    }

    /// Checks that the file's path stays inside the source.
    pub(crate) fn check_path(&self) -> Result<(), ImagesError> {
        let inside = Path::new(&self.file).components().all(|part| matches!(part, Component::Normal(_)));
        if inside && !self.file.is_empty() { Ok(()) } else { Err(self.error("its path leaves the kernel source")) }
    }

    pub(crate) fn error(&self, detail: impl Into<String>) -> ImagesError {
        ImagesError::Edit { file: self.file.clone(), detail: detail.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_replace_text_and_patterns() {
        assert_eq!(SourceEdit::literal("f", "a.b", "$1").apply("a.b axb").unwrap(), "$1 axb");
        assert_eq!(SourceEdit::regex("f", r"a(.)b", "<$1>").apply("a.b axb").unwrap(), "<.> <x>");
    }

    #[test]
    fn cannot_apply_an_edit_that_matches_nothing() {
        for edit in [
            SourceEdit::literal("f", "zzz", "y"),
            SourceEdit::regex("f", "z+", "y"),
            SourceEdit::regex("f", "(", "y"),
            SourceEdit::literal("f", "text", "text"),
        ] {
            assert!(matches!(edit.apply("some text"), Err(ImagesError::Edit { .. })), "{edit:?}");
        }
    }

    #[test]
    fn cannot_leave_the_source() {
        assert!(SourceEdit::literal("kernel/fork.c", "", "").check_path().is_ok());
        for path in ["../x", "/etc/passwd", "", "a/../../b"] {
            assert!(SourceEdit::literal(path, "", "").check_path().is_err(), "{path}");
        }
    }
}
