//! Words of a private language in identifiers.

use crate::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

/// The words that a reader would have to ask for.
const PRIVATE: [&str; 13] =
    ["told", "seen", "wish", "desk", "brings", "placing", "owed", "tried", "ended", "live", "drive", "debt", "tended"];

/// How often each private word is part of an identifier, in how many identifiers, and which are the most frequent.
pub fn words(workspace: &Workspace) -> String {
    let mut uses: BTreeMap<&str, BTreeMap<&str, usize>> = BTreeMap::new();
    // This crate names them all.
    for (_, source) in workspace.sources.iter().filter(|(path, _)| !path.starts_with("tests/tidy/")) {
        for (identifier, count) in &source.identifiers {
            let parts = parts(identifier);
            for word in PRIVATE.into_iter().filter(|word| parts.contains(*word)) {
                *uses.entry(word).or_default().entry(identifier).or_default() += count;
            }
        }
    }
    let mut text = String::new();
    for word in PRIVATE {
        let of_word = uses.remove(word).unwrap_or_default();
        let mut frequent: Vec<_> = of_word.iter().map(|(identifier, count)| (count, identifier)).collect();
        frequent.sort_by(|one, other| other.cmp(one));
        let examples: Vec<String> = frequent.iter().take(4).map(|(count, name)| format!("{name} {count}")).collect();
        let total: usize = of_word.values().sum();
        let _ = writeln!(text, "{total:>6}  {word} ({} identifiers: {})", of_word.len(), examples.join(", "));
    }
    text
}

/// The words of an identifier in lower case: `TdsTold` and `tds_told` have `tds` and `told`.
fn parts(identifier: &str) -> BTreeSet<String> {
    let mut words = vec![String::new()];
    let mut before_is_lower = false;
    for character in identifier.chars() {
        if character == '_' || (character.is_uppercase() && before_is_lower) {
            words.push(String::new());
        }
        if character != '_' {
            words.last_mut().expect("begun with one").extend(character.to_lowercase());
        }
        before_is_lower = !character.is_uppercase();
    }
    words.into_iter().collect()
}
