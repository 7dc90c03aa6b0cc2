//! What is known of earlier commands.

use super::ScenarioResult;
use crate::record_file::RecordFile;
use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use std::path::Path;

/// What came of one scenario on one kernel, or of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
enum Known {
    /// A run.
    Run { key: String, result: ScenarioResult },
    /// A source that does not build.
    Refused { key: String, error: String },
}

/// The results, by hashes of all that each was made of.
#[derive(Debug)]
pub(super) struct KnownResults(RecordFile<Known>);

impl KnownResults {
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        RecordFile::open(path).map(Self)
    }

    /// How the run of this key ended, the last time. One without a verdict is made again.
    pub(super) fn result(&self, key: &str) -> Option<&ScenarioResult> {
        let run =
            |known: &'_ Known| matches!(known, Known::Run { key: own, result } if own == key && result.is_judged());
        self.0.records().iter().rev().find(|known| run(known)).and_then(|known| match known {
            Known::Run { result, .. } => Some(result),
            Known::Refused { .. } => None,
        })
    }

    /// Why the build of this key failed.
    pub(super) fn refused(&self, key: &str) -> Option<&str> {
        self.0.records().iter().rev().find_map(|known| match known {
            Known::Refused { key: own, error } if own == key => Some(error.as_str()),
            _ => None,
        })
    }

    pub(super) fn add_run(&mut self, key: String, result: ScenarioResult) -> Result<(), Trouble> {
        self.0.add(Known::Run { key, result })
    }

    pub(super) fn add_refused(&mut self, key: String, error: String) -> Result<(), Trouble> {
        self.0.add(Known::Refused { key, error })
    }
}

#[cfg(test)]
mod tests {
    use super::super::difference::tests::result;
    use super::*;
    use rig_judge::Outcome;

    #[test]
    fn only_verdicts_are_used_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let mut store = KnownResults::open(&path).unwrap();
        store.add_run("a".into(), result("plain", Outcome::Passed, &[])).unwrap();
        store.add_run("b".into(), result("plain", Outcome::RigError, &[])).unwrap();
        store.add_refused("c".into(), "x.c:1: error: no".into()).unwrap();
        drop(store);
        let store = KnownResults::open(&path).unwrap();
        assert_eq!(store.result("a").unwrap().outcome, Outcome::Passed);
        assert_eq!((store.result("b"), store.result("c")), (None, None));
        assert_eq!((store.refused("c"), store.refused("a")), (Some("x.c:1: error: no"), None));
    }
}
