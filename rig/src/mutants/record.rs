//! A mutant and what came of it, as it is kept in a file.

use super::{Judgement, Mutant, Rule};
use serde::{Deserialize, Serialize};

/// A mutant and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// Its identity.
    pub mutant: String,
    /// Hash of all that it was judged with: see [`super::key`].
    pub key: String,
    /// Path in the kernel source.
    pub file: String,
    /// The changed function.
    pub function: String,
    /// How it is changed.
    pub rule: Rule,
    /// Line of the change, from 1.
    pub line: usize,
    /// The text that was replaced.
    pub before: String,
    /// What replaced it.
    pub after: String,
    /// The change as a unified diff.
    pub diff: String,
    /// SHA-256 of the object file, if it compiles.
    pub object: Option<String>,
    /// What came of it.
    #[serde(flatten)]
    pub judgement: Judgement,
}

impl Record {
    pub(super) fn new(
        mutant: &Mutant,
        original: &str,
        key: String,
        object: Option<String>,
        judgement: Judgement,
    ) -> Self {
        Self {
            mutant: mutant.identity(),
            key,
            file: mutant.file.clone(),
            function: mutant.function.clone(),
            rule: mutant.rule,
            line: mutant.line,
            before: mutant.before.clone(),
            after: mutant.after.clone(),
            diff: mutant.diff(original),
            object,
            judgement,
        }
    }
}
