//! The file of results, by mutant and by what it was judged with.

use super::{Judgement, Record};
use crate::record_file::RecordFile;
use crate::trouble::Trouble;
use std::path::Path;

/// An open file of results.
#[derive(Debug)]
pub(super) struct Store(RecordFile<Record>);

impl Store {
    /// Opens the file, or makes it.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        RecordFile::open(path).map(Self)
    }

    /// What came of this mutant when it was judged with the same things, the last time; troubles of the rig are none.
    pub(super) fn known(&self, mutant: &str, key: &str) -> Option<&Record> {
        self.latest(mutant, key).filter(|record| !matches!(record.judgement, Judgement::Unjudged { .. }))
    }

    /// What came of this mutant when it was judged with the same things, the last time.
    pub(super) fn latest(&self, mutant: &str, key: &str) -> Option<&Record> {
        self.0.records().iter().rev().find(|record| record.mutant == mutant && record.key == key)
    }

    /// Adds what came of a mutant.
    pub(super) fn add(&mut self, record: Record) -> Result<(), Trouble> {
        self.0.add(record)
    }
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::record;
    use super::*;

    fn passed() -> Judgement {
        Judgement::Passed { scenarios: vec!["plain".into()] }
    }

    #[test]
    fn what_was_judged_with_other_things_is_not_known() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let mut store = Store::open(&path).unwrap();
        store.add(record("f:1:one-more", passed())).unwrap();
        let trouble = Judgement::Unjudged { scenario: "plain".into(), reason: "no disk".into() };
        store.add(record("f:2:one-more", trouble)).unwrap();
        let same = Judgement::SameCode { of: Some("f:1:one-more".into()) };
        store.add(record("f:3:one-more", same.clone())).unwrap();
        drop(store);
        let store = Store::open(&path).unwrap();
        assert_eq!(store.known("f:1:one-more", "key").unwrap().judgement, passed());
        assert!(store.known("f:1:one-more", "other").is_none());
        assert!(store.known("f:2:one-more", "key").is_none());
        assert_eq!(store.known("f:3:one-more", "key").unwrap().judgement, same);
    }
}
