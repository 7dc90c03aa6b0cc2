//! What a kernel calls the parts of its update, where it is not as the rig knows it.

use super::hold::Location;
use crate::trouble::Trouble;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// The shape of a kernel's update: which function and which words show what its CPUs do. What is not named is not observed, and what
/// would have to be observed for an invariant is then told in place of a result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shape {
    /// A name for reports.
    pub name: String,
    /// The function that every CPU runs in an update, and leaves at its end; absent: none is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub section: Option<String>,
    /// Functions, beside that one, whose instructions touch the words, where the compiler did not inline them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub code: Vec<String>,
    /// The words of its state machine; absent: they are not watched.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub words: Option<ShapeWords>,
    /// Why the words are not watched, for reports.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub unwatched: String,
}

/// The words of an update's state machine, 4 bytes each, as `SYMBOL` or `SYMBOL+OFFSET`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ShapeWords {
    /// The state: 1 for SHUTDOWN, then those of installation, initialisation and takeover, and 5 for DONE.
    pub state: String,
    /// How many CPUs have acknowledged the state; it counts up from 0.
    pub acknowledged: String,
    /// How many CPUs have failed.
    pub failed: String,
    /// Acknowledgements are counted by atomic instructions; else under a lock.
    #[serde(default)]
    pub atomic: bool,
}

/// The profiles that come with the rig.
const PROFILES: [&str; 2] = [include_str!("shapes/linux-7.2.toml"), include_str!("shapes/tdp-data.toml")];

impl Shape {
    /// The profiles that come with the rig.
    pub(crate) fn profiles() -> Vec<Self> {
        let parse = |text: &&str| toml::from_str(text).expect("a profile of the rig is one");
        PROFILES.iter().map(parse).collect()
    }

    /// The one of this file, or of the rig's of this name.
    pub fn of(given: &Path) -> Result<Self, Trouble> {
        let name = given.to_string_lossy();
        if let Some(shape) = Self::profiles().into_iter().find(|shape| shape.name == name) {
            return Ok(shape);
        }
        let names: Vec<String> = Self::profiles().into_iter().map(|shape| shape.name).collect();
        let help = format!("give a file as docs/how-to/other-shapes.md shows, or one of: {}", names.join(", "));
        let bad = |why: &dyn std::fmt::Display| {
            Trouble::usage(format!("the shape {name} cannot be read: {why}"), help.clone())
        };
        let text = std::fs::read_to_string(given).map_err(|e| bad(&e))?;
        let shape: Self = toml::from_str(&text).map_err(|e| bad(&e.message()))?;
        shape.check().map_err(|why| bad(&why))?;
        Ok(shape)
    }

    /// Says what cannot be.
    pub(super) fn check(&self) -> Result<(), String> {
        if self.name.is_empty() {
            return Err("`shape.name` is empty".into());
        }
        let Some(words) = &self.words else {
            return if self.code.is_empty() {
                Ok(())
            } else {
                Err("`shape.code` touches no words: name `shape.words`".into())
            };
        };
        if self.section.is_none() {
            return Err("`shape.words` are those of a section: name `shape.section`".into());
        }
        words.places().into_iter().try_for_each(|(_, place)| place.parse::<Location>().map(drop))
    }
}

impl ShapeWords {
    /// Each with what it is for the judge.
    pub(crate) fn places(&self) -> [(&'static str, &str); 3] {
        [("state", &self.state), ("num_ack", &self.acknowledged), ("num_failed", &self.failed)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_profiles_of_the_rig_are_shapes() {
        for shape in Shape::profiles() {
            assert_eq!(shape.check(), Ok(()), "{}", shape.name);
            assert_eq!(Shape::of(Path::new(&shape.name)), Ok(shape));
        }
    }

    #[test]
    fn a_file_is_read_and_what_is_wrong_is_told() {
        let folder = tempfile::tempdir().unwrap();
        let of = |text: &str| {
            let file = folder.path().join("shape.toml");
            std::fs::write(&file, text).unwrap();
            Shape::of(&file).map_err(|trouble| trouble.cause)
        };
        assert_eq!(of("name = \"x\"\nsection = \"f\"\n").unwrap().section.as_deref(), Some("f"));
        assert!(of("name = \"x\"\nsecton = \"f\"\n").unwrap_err().contains("secton"));
        assert!(of("name = \"\"\n").unwrap_err().contains("`shape.name`"));
        let words = "[words]\nstate = \"a\"\nacknowledged = \"a+4\"\nfailed = \"a+y\"\n";
        assert!(of(&format!("name = \"x\"\n{words}")).unwrap_err().contains("`shape.section`"));
        assert!(of(&format!("name = \"x\"\nsection = \"f\"\n{words}")).unwrap_err().contains("no offset"));
        assert!(of("name = \"x\"\ncode = [\"f\"]\n").unwrap_err().contains("`shape.code`"));
        assert!(Shape::of(Path::new("/nonexistent")).unwrap_err().help.contains("tdp-data"));
    }
}
