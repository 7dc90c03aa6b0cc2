//! How updates end, and what the firmware upload says of them.

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::value::StrDeserializer;
use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

/// How an update ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum UpdateEnding {
    /// It succeeded, and the new module runs.
    #[default]
    Updated,
    /// It failed, and the module that ran before still runs.
    Unchanged,
    /// It failed, and no module runs: `version` reads ENXIO.
    Lost,
    /// One of `updated` and `unchanged`: a module runs.
    ModuleRuns,
    /// The kernel runs with a module and offers no update.
    Absent,
}

impl UpdateEnding {
    /// Its name, as in a scenario.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Updated => "updated",
            Self::Unchanged => "unchanged",
            Self::Lost => "lost",
            Self::ModuleRuns => "module-runs",
            Self::Absent => "absent",
        }
    }
}

/// How the updates of a run end. In a scenario a word for the last one, or a list with a word for each.
#[derive(Clone, Debug, PartialEq, Eq, JsonSchema)]
#[schemars(untagged)]
pub enum Endings {
    /// The last one that is made ends like this.
    Last(UpdateEnding),
    /// Each ends like this, in their order.
    Each(Vec<UpdateEnding>),
}

impl Endings {
    /// How the last update must end.
    pub fn last(&self) -> UpdateEnding {
        match self {
            Self::Last(ending) => *ending,
            Self::Each(each) => each.last().copied().unwrap_or_default(),
        }
    }

    /// Whether the kernel must offer no update.
    pub fn is_absent(&self) -> bool {
        *self == Self::Last(UpdateEnding::Absent)
    }

    /// Whether some update must end like this. A word for the last one says nothing of those before it.
    pub fn any(&self, ending: UpdateEnding) -> bool {
        match self {
            Self::Last(last) => *last == ending,
            Self::Each(each) => each.contains(&ending),
        }
    }
}

impl Default for Endings {
    fn default() -> Self {
        Self::Last(UpdateEnding::default())
    }
}

impl From<UpdateEnding> for Endings {
    fn from(last: UpdateEnding) -> Self {
        Self::Last(last)
    }
}

impl Serialize for Endings {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Last(ending) => ending.serialize(serializer),
            Self::Each(each) => each.serialize(serializer),
        }
    }
}

/// Written by hand, because the error of an untagged enum does not list the words that are allowed.
impl<'de> Deserialize<'de> for Endings {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Words;
        impl<'de> Visitor<'de> for Words {
            type Value = Endings;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("what the last update comes to, or a list of what each comes to")
            }

            fn visit_str<E: Error>(self, word: &str) -> Result<Endings, E> {
                UpdateEnding::deserialize(StrDeserializer::new(word)).map(Endings::Last)
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut words: A) -> Result<Endings, A::Error> {
                let mut each = Vec::new();
                while let Some(ending) = words.next_element()? {
                    each.push(ending);
                }
                Ok(Endings::Each(each))
            }
        }
        deserializer.deserialize_any(Words)
    }
}

/// `error` of the firmware upload class: what went wrong, and in which stage if that is said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct UploadError {
    stage: Option<String>,
    error: String,
}

/// `fw_upload_prog_str` of Linux 7.3's `drivers/base/firmware_loader/sysfs_upload.c`.
const STAGES: [&str; 5] = ["idle", "receiving", "preparing", "transferring", "programming"];
/// `fw_upload_err_str` of the same file, but for "none".
const ERRORS: [&str; 8] = [
    "hw-error",
    "timeout",
    "user-abort",
    "device-busy",
    "invalid-file-size",
    "read-write-error",
    "flash-wearout",
    "firmware-invalid",
];

impl UploadError {
    /// Whether what `error` reads says this.
    pub fn is_said_by(&self, text: &str) -> bool {
        let said = text.split_once(':');
        said.is_some_and(|(stage, error)| error == self.error && self.stage.as_ref().is_none_or(|own| own == stage))
    }
}

impl JsonSchema for UploadError {
    fn schema_name() -> Cow<'static, str> {
        "UploadError".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "`error` of the firmware upload class, with or without the stage before it.",
            "type": "string",
            "pattern": format!("^(({}):)?({})$", STAGES.join("|"), ERRORS.join("|")),
        })
    }
}

impl FromStr for UploadError {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (stage, error) = match text.split_once(':') {
            Some((stage, error)) => (Some(stage), error),
            None => (None, text),
        };
        if let Some(stage) = stage.filter(|stage| !STAGES.contains(stage)) {
            return Err(format!("no upload has a stage \"{stage}\"; they are {}", STAGES.join(", ")));
        }
        if !ERRORS.contains(&error) {
            return Err(format!("no upload ends with \"{error}\"; they end with {}", ERRORS.join(", ")));
        }
        Ok(Self { stage: stage.map(str::to_owned), error: error.to_owned() })
    }
}

impl fmt::Display for UploadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.stage {
            Some(stage) => write!(f, "{stage}:{}", self.error),
            None => f.write_str(&self.error),
        }
    }
}

impl TryFrom<String> for UploadError {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<UploadError> for String {
    fn from(error: UploadError) -> Self {
        error.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Endings, String> {
        #[derive(Deserialize)]
        struct File {
            update: Endings,
        }
        toml::from_str::<File>(text).map(|file| file.update).map_err(|e| e.message().to_owned())
    }

    #[test]
    fn a_word_speaks_of_the_last_update_and_a_list_of_each() {
        assert_eq!(read("update = \"lost\""), Ok(Endings::Last(UpdateEnding::Lost)));
        let each = Endings::Each(vec![UpdateEnding::Unchanged, UpdateEnding::Updated]);
        assert_eq!(read("update = [\"unchanged\", \"updated\"]"), Ok(each.clone()));
        assert_eq!((each.last(), each.any(UpdateEnding::Lost)), (UpdateEnding::Updated, false));
        assert_eq!(serde_json::to_value(&each).unwrap(), serde_json::json!(["unchanged", "updated"]));
    }

    #[test]
    fn a_word_that_is_none_gets_the_list_of_words() {
        for text in ["update = \"updatd\"", "update = [\"updatd\"]"] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with("unknown variant `updatd`") && error.contains("`unchanged`"), "{error}");
        }
        assert!(read("update = 3").unwrap_err().contains("what the last update comes to"));
    }

    #[test]
    fn an_upload_error_is_one_of_the_kernels() {
        let invalid: UploadError = "firmware-invalid".parse().unwrap();
        assert!(invalid.is_said_by("transferring:firmware-invalid"));
        assert!(!invalid.is_said_by("transferring:hw-error") && !invalid.is_said_by(""));
        let staged: UploadError = "preparing:firmware-invalid".parse().unwrap();
        assert!(!staged.is_said_by("transferring:firmware-invalid"));
        assert!("firmware-bad".parse::<UploadError>().unwrap_err().contains("firmware-invalid"));
        assert!("x:timeout".parse::<UploadError>().unwrap_err().contains("transferring"));
        assert!("none".parse::<UploadError>().is_err(), "an update without an error is `updated`");
    }
}
