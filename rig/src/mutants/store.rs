//! The file of results: a line of JSON for each mutant, written at once and whole, so that a run that was stopped goes on where it
//! was.

use super::{Judgement, Record};
use crate::trouble::Trouble;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An open file of results.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    file: File,
    records: Vec<Record>,
}

impl Store {
    /// Opens the file, or makes it. A last line that was cut short by a kill is dropped.
    pub(super) fn open(path: &Path) -> Result<Self, Trouble> {
        let failed = |e: std::io::Error| Trouble::file("use the results", path, &e);
        let mut options = OpenOptions::new();
        let mut file = options.create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
        if file.try_lock().is_err() {
            let cause = format!("another program writes to {}", path.display());
            return Err(Trouble::usage(cause, "wait for it, or name another folder with --out"));
        }
        let mut text = String::new();
        file.read_to_string(&mut text).map_err(failed)?;
        let whole = text.rfind('\n').map_or(0, |at| at + 1);
        file.set_len(whole as u64).map_err(failed)?;
        file.seek(SeekFrom::End(0)).map_err(failed)?;
        let parsed: Result<_, _> = text[..whole].lines().map(serde_json::from_str).collect();
        let records = parsed.map_err(|error| {
            let cause = format!("{} is no file of results: {error}", path.display());
            Trouble::usage(cause, "remove it, or name another folder with --out")
        })?;
        Ok(Self { path: path.to_owned(), file, records })
    }

    /// What came of this mutant when it was judged with the same things, the last time; troubles of the rig are none.
    pub(super) fn known(&self, mutant: &str, key: &str) -> Option<&Record> {
        self.latest(mutant, key).filter(|record| !matches!(record.judgement, Judgement::Unjudged { .. }))
    }

    /// What came of this mutant when it was judged with the same things, the last time.
    pub(super) fn latest(&self, mutant: &str, key: &str) -> Option<&Record> {
        self.records.iter().rev().find(|record| record.mutant == mutant && record.key == key)
    }

    /// Adds what came of a mutant.
    pub(super) fn add(&mut self, record: Record) -> Result<(), Trouble> {
        let mut line = serde_json::to_vec(&record).expect("results are plain data");
        line.push(b'\n');
        self.file.write_all(&line).map_err(|e| Trouble::file("write", &self.path, &e))?;
        self.records.push(record);
        Ok(())
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

    #[test]
    fn a_line_that_was_cut_short_is_dropped_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let mut store = Store::open(&path).unwrap();
        store.add(record("f:1:one-more", passed())).unwrap();
        drop(store);
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], &whole[..9]].concat()).unwrap();
        let mut store = Store::open(&path).unwrap();
        store.add(record("f:2:one-more", passed())).unwrap();
        drop(store);
        assert!(Store::open(&path).unwrap().known("f:2:one-more", "key").is_some());
    }

    #[test]
    fn another_file_is_refused_and_a_second_writer_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let store = Store::open(&path).unwrap();
        assert!(Store::open(&path).unwrap_err().cause.contains("another program"));
        drop(store);
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(Store::open(&path).unwrap_err().cause.contains("is no file of results"));
    }
}
