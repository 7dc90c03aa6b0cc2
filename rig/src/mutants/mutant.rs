//! One change of one function.

use super::Rule;
use similar::TextDiff;
use std::ops::Range;

/// A source file with one change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Path in the kernel source, such as `arch/x86/virt/vmx/tdx/seamldr.c`.
    pub file: String,
    /// The function that is changed.
    pub function: String,
    /// How it is changed.
    pub rule: Rule,
    /// Line of the file, from 1, at which the changed text begins.
    pub line: usize,
    /// Which of the mutants with the same function, rule and line this is, from 1.
    pub number: usize,
    /// The text that is replaced.
    pub before: String,
    /// What replaces it.
    pub after: String,
    /// The whole file with the change in it.
    pub source: String,
}

impl Mutant {
    /// Its name: `FUNCTION:LINE:RULE`, and `:NUMBER` behind it from the second one of that name on.
    pub fn identity(&self) -> String {
        let number = if self.number > 1 { format!(":{}", self.number) } else { String::new() };
        format!("{}:{}:{}{number}", self.function, self.line, self.rule)
    }

    /// The change as a unified diff against `original`, with three lines of context.
    pub fn diff(&self, original: &str) -> String {
        let (from, to) = (format!("a/{}", self.file), format!("b/{}", self.file));
        TextDiff::from_lines(original, &self.source).unified_diff().header(&from, &to).to_string()
    }
}

/// `text` with `range` replaced.
pub(super) fn replaced(text: &str, range: Range<usize>, with: &str) -> String {
    [&text[..range.start], with, &text[range.end..]].concat()
}
