//! The published form of a scenario file.

use super::Scenario;
use schemars::generate::SchemaSettings;

/// The JSON Schema (draft 2020-12) of [`Scenario`]. It is made from the types that read a file, so it has every key and
/// value that they accept, and no other. What one key demands of another only [`super::from_text`] checks.
pub fn schema() -> String {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Scenario>();
    schema.insert("title".into(), "A scenario of the rig".into());
    serde_json::to_string_pretty(&schema).expect("a schema is plain data") + "\n"
}

#[cfg(test)]
mod tests;
