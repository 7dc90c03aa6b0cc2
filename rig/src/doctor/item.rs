//! One thing that the doctor looked at, and how it stands.

use serde::Serialize;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Item {
    /// What, in a word.
    pub name: &'static str,
    /// How it stands.
    pub state: State,
    /// What was found, one line.
    pub found: String,
    /// The command or deed that mends it.
    pub mend: Option<String>,
}

/// How an item stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// As it should be.
    Good,
    /// Not ideal, but runs work.
    Note,
    /// Runs do not work until it is mended.
    Missing,
}

impl Item {
    pub(crate) fn good(name: &'static str, found: impl Into<String>) -> Self {
        Self { name, state: State::Good, found: found.into(), mend: None }
    }

    pub(crate) fn note(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, state: State::Note, found: found.into(), mend: Some(mend.into()) }
    }

    pub(crate) fn missing(name: &'static str, found: impl Into<String>, mend: impl Into<String>) -> Self {
        Self { name, state: State::Missing, found: found.into(), mend: Some(mend.into()) }
    }
}
