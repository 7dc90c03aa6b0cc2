//! What a check complains of.

use std::fmt;

/// A place, what is wrong there, and what mends it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Violation {
    /// A file's path or a crate's name, where known with a line (`rig/src/lib.rs:3`).
    pub place: String,
    /// What is wrong and what mends it.
    pub text: String,
}

impl Violation {
    /// At a file or crate as a whole.
    pub(crate) fn at(place: impl Into<String>, text: impl Into<String>) -> Self {
        Self { place: place.into(), text: text.into() }
    }

    /// At a line of a file.
    pub(crate) fn on(path: &str, line: usize, text: impl Into<String>) -> Self {
        Self::at(format!("{path}:{line}"), text)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.text)
    }
}
