//! A scenario as one would write it: without defaults, and without paths of the machine on which it ran.

use crate::scenario::{self, Scenario};
use serde_json::{Map, Value};

/// A scenario for somebody else's machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Minimal {
    /// The file.
    pub(super) text: String,
    /// The kernel was a file or folder of the machine, and is not named in it.
    pub(super) needs_kernel: bool,
    /// Other files of the machine that it still names.
    pub(super) files: Vec<String>,
}

impl Minimal {
    pub(super) fn of(scenario: &Scenario) -> Self {
        let needs_kernel = scenario.kernel_path().is_some();
        let mut given = scenario.clone();
        if needs_kernel {
            given.kernel = None;
        }
        let brings = given.userspace.iter().flat_map(|userspace| &userspace.brings);
        let brought = brings.map(|brought| format!("{} ({})", brought.name, brought.from));
        let image = given.image.file.iter().map(|file| file.display().to_string());
        let files = image.chain(brought).collect();
        let text = without_defaults(&given);
        Self { text, needs_kernel, files }
    }
}

/// The scenario's name, and all that differs from a scenario that has no more than a name. By way of JSON, because the values of
/// the library for TOML have no numbers beyond 63 bits.
fn without_defaults(scenario: &Scenario) -> String {
    let plain = Scenario { name: scenario.name.clone(), ..plain() };
    let value = |scenario| serde_json::to_value(scenario).expect("a scenario is plain data");
    let name = toml::Value::from(scenario.name.as_str());
    let rest = different(value(scenario), &value(&plain)).unwrap_or_default();
    let rest = toml::to_string_pretty(&rest).expect("without null a scenario is plain data");
    format!("name = {name}\n{rest}")
}

fn plain() -> Scenario {
    scenario::from_text("name = \"plain\"", "the default scenario").expect("every other key has a default")
}

/// What is not as in `usual`, if anything.
fn different(value: Value, usual: &Value) -> Option<Map<String, Value>> {
    let (Value::Object(table), Value::Object(usual)) = (value, usual) else { return None };
    let kept = table.into_iter().filter_map(|(key, value)| match usual.get(&key) {
        Some(usual) if value == *usual => None,
        Some(usual @ Value::Object(_)) if value.is_object() => {
            different(value, usual).map(|inner| (key, Value::Object(inner)))
        }
        _ => Some((key, without_null(value))),
    });
    Some(kept.filter(|(_, value)| !value.is_null()).collect())
}

/// TOML leaves out what is not there.
fn without_null(value: Value) -> Value {
    match value {
        Value::Object(table) => {
            let kept = table.into_iter().map(|(key, value)| (key, without_null(value)));
            Value::Object(kept.filter(|(_, value)| !value.is_null()).collect())
        }
        Value::Array(all) => Value::Array(all.into_iter().map(without_null).collect()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::catalogue;

    #[test]
    fn every_scenario_means_the_same_without_its_defaults() {
        for scenario in catalogue::all() {
            let minimal = Minimal::of(&scenario);
            let read =
                scenario::from_text(&minimal.text, "minimal").unwrap_or_else(|e| panic!("{}: {e}", scenario.name));
            assert_eq!(read, scenario);
        }
    }

    #[test]
    fn a_file_has_what_differs_and_no_more() {
        let text = "name = \"mine\"\ncpus = 8\nkernel = \"/home/me/build\"\n";
        let minimal = Minimal::of(&scenario::from_text(text, "test").unwrap());
        assert_eq!(minimal.text, "name = \"mine\"\ncpus = 8\n");
        assert!(minimal.needs_kernel);
        let text = "name = \"mine\"\nkernel = \"profile:debug\"\n";
        let minimal = Minimal::of(&scenario::from_text(text, "test").unwrap());
        assert_eq!((minimal.text.as_str(), minimal.needs_kernel), (text, false));
    }
}
