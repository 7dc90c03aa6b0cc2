//! The published form of `verdict.json`.

use crate::verdict::{VERDICT_VERSION, Verdict};
use schemars::generate::SchemaSettings;

/// The JSON Schema (draft 2020-12) of [`Verdict`], as `verdict.schema.json` holds it.
pub fn verdict_schema() -> String {
    let mut schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<Verdict>();
    schema.insert("title".into(), format!("verdict.json, version {VERDICT_VERSION}").into());
    serde_json::to_string_pretty(&schema).expect("a schema is plain data") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::synthetic::{Synthetic, Twist};
    use crate::{Facts, Verdict};
    use serde_json::Value;
    use std::collections::BTreeSet;
    use std::path::Path;

    /// `RIG_BLESS=1` writes the file anew.
    #[test]
    fn the_published_schema_is_that_of_the_code() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("verdict.schema.json");
        if std::env::var_os("RIG_BLESS").is_some() {
            std::fs::write(&path, verdict_schema()).unwrap();
        }
        let published = std::fs::read_to_string(&path).unwrap();
        assert_eq!(published, verdict_schema(), "run the tests with RIG_BLESS=1 and look at the difference");
    }

    fn keys(object: &Value) -> BTreeSet<String> {
        object.as_object().unwrap().keys().cloned().collect()
    }

    #[test]
    fn a_verdict_has_what_the_schema_says() {
        let schema: Value = serde_json::from_str(&verdict_schema()).unwrap();
        let run = Synthetic::new(2).boot().twist(Twist::InitTwice).update();
        let verdict = serde_json::to_value(Verdict::new(Facts::default(), &run.judge().0, &run.end)).unwrap();
        assert_eq!(keys(&verdict), keys(&schema["properties"]));
        let breach = &schema["$defs"]["Breach"]["properties"];
        assert_eq!(keys(&verdict["breaches"][0]), keys(breach));
    }
}
