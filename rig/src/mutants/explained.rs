//! Why mutants that nothing notices are no holes: a file of arguments, read by people and compared with what comes.

use super::Record;
use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What a mutant that passes is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// It behaves as the unmodified kernel does, or differs in nothing that the update, its caller or the firmware could see.
    Equivalent,
    /// It is an error, and the argument says why no scenario shows it.
    Unseen,
}

/// Why a mutant may pass.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Explanation {
    /// The mutant's identity.
    pub mutant: String,
    /// The beginning of the text that it replaces, with single spaces; it shows that the line is still the one that the
    /// argument is about.
    pub before: String,
    /// What it is.
    pub kind: Kind,
    /// The argument.
    pub why: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Explained {
    #[serde(default)]
    explained: Vec<Explanation>,
}

/// Where they are written down. The file is read when it is needed, since results are kept under the hash of this program: one
/// more argument must not make them all stale.
const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/src/mutants/explained.toml");

/// All that are written down.
pub fn explanations() -> Result<Vec<Explanation>, Trouble> {
    let text = std::fs::read_to_string(FILE).map_err(|e| Trouble::file("read", Path::new(FILE), &e))?;
    let help = "each `[[explained]]` has `mutant`, `before`, `kind` and `why`";
    parse(&text).map_err(|e| Trouble::usage(format!("{FILE}: {e}"), help))
}

fn parse(text: &str) -> Result<Vec<Explanation>, toml::de::Error> {
    Ok(toml::from_str::<Explained>(text)?.explained)
}

impl Explanation {
    /// Whether it is about this mutant of this text.
    pub(super) fn is_of(&self, record: &Record) -> bool {
        self.mutant == record.mutant && spaced(&record.before).starts_with(&self.before)
    }
}

/// The text with single spaces.
pub(super) fn spaced(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::record;
    use super::super::{Judgement, TARGETS};
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn every_argument_is_about_a_target_once_and_is_more_than_a_word() {
        let explanations = explanations().unwrap();
        let identities: BTreeSet<&str> = explanations.iter().map(|e| e.mutant.as_str()).collect();
        assert_eq!(identities.len(), explanations.len());
        for Explanation { mutant, before, why, .. } in &explanations {
            let function = mutant.split(':').next().unwrap();
            assert!(TARGETS.iter().any(|target| target.function == function), "{mutant}");
            assert!(why.split(' ').count() >= 8 && why.ends_with('.'), "{mutant}: {why}");
            assert_eq!(*before, spaced(before), "{mutant}");
            assert!(!before.is_empty(), "{mutant}");
        }
    }

    #[test]
    fn an_argument_about_another_text_does_not_count() {
        let mut record = record("f:1:one-more", Judgement::Passed { scenarios: Vec::new() });
        let argument = Explanation {
            mutant: "f:1:one-more".into(),
            before: "a + b".into(),
            kind: Kind::Equivalent,
            why: "It is never reached.".into(),
        };
        record.before = "a +\n\tb == c".into();
        assert!(argument.is_of(&record));
        record.before = "a - b".into();
        assert!(!argument.is_of(&record));
    }
}
