//! A file of records: a line of JSON for each, written at once and whole, so that a command that was stopped goes on where it was.

use crate::trouble::Trouble;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

/// An open file of records, which no other process writes to.
#[derive(Debug)]
pub(crate) struct RecordFile<T> {
    path: PathBuf,
    file: File,
    records: Vec<T>,
}

impl<T: Serialize + DeserializeOwned> RecordFile<T> {
    /// Opens the file, or makes it. A last line that was cut short by a kill is dropped.
    pub(crate) fn open(path: &Path) -> Result<Self, Trouble> {
        let (file, text) = open_lines(path, "program")?;
        let parsed: Result<_, _> = text.lines().map(serde_json::from_str).collect();
        let records = parsed.map_err(|error| {
            let cause = format!("{} is no file of results: {error}", path.display());
            Trouble::usage(cause, "remove it, or name another folder with --out")
        })?;
        Ok(Self { path: path.to_owned(), file, records })
    }

    /// All records, in the order in which they were added.
    pub(crate) fn records(&self) -> &[T] {
        &self.records
    }

    /// Adds one.
    pub(crate) fn add(&mut self, record: T) -> Result<(), Trouble> {
        write_line(&mut self.file, &record).map_err(|e| Trouble::file("write", &self.path, &e))?;
        self.records.push(record);
        Ok(())
    }
}

/// Opens a file of lines to go on with it, or makes it; returns its whole lines. A last line that was cut short by a kill is dropped.
/// `writer` says in an error who else has the file open: there is one writer at a time.
pub(crate) fn open_lines(path: &Path, writer: &str) -> Result<(File, String), Trouble> {
    let failed = |e: std::io::Error| Trouble::file("use the results", path, &e);
    let mut options = OpenOptions::new();
    let mut file = options.create(true).truncate(false).read(true).write(true).open(path).map_err(failed)?;
    if file.try_lock().is_err() {
        let cause = format!("another {writer} writes to {}", path.display());
        return Err(Trouble::usage(cause, "wait for it, or name another folder with --out"));
    }
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(failed)?;
    text.truncate(text.rfind('\n').map_or(0, |at| at + 1));
    file.set_len(text.len() as u64).map_err(failed)?;
    file.seek(SeekFrom::End(0)).map_err(failed)?;
    Ok((file, text))
}

/// Writes a line of JSON at once.
pub(crate) fn write_line(file: &mut File, record: &impl Serialize) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(record).expect("results are plain data");
    line.push(b'\n');
    file.write_all(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(path: &Path) -> RecordFile<(String, u32)> {
        RecordFile::open(path).unwrap()
    }

    #[test]
    fn a_line_that_was_cut_short_is_dropped_and_written_again() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        open(&path).add(("one".into(), 1)).unwrap();
        let whole = std::fs::read(&path).unwrap();
        std::fs::write(&path, [&whole[..], &whole[..5]].concat()).unwrap();
        open(&path).add(("two".into(), 2)).unwrap();
        assert_eq!(open(&path).records(), [("one".into(), 1), ("two".into(), 2)]);
    }

    #[test]
    fn another_file_is_refused_and_a_second_writer_too() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("results.jsonl");
        let first = open(&path);
        let refused = || RecordFile::<(String, u32)>::open(&path).unwrap_err();
        assert!(refused().cause.contains("another program"));
        drop(first);
        std::fs::write(&path, "nonsense\n").unwrap();
        assert!(refused().cause.contains("is no file of results"));
    }
}
