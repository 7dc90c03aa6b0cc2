//! Results, one line each, so that a measurement can go on where it was.

use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

/// What became of a mutant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// A test fails.
    Noticed,
    /// A test did not end in time.
    TimedOut,
    /// All tests pass.
    Missed,
    /// It does not compile.
    Unviable,
}

/// The test that noticed a mutant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Witness {
    /// Name of the target that it is in.
    pub target: String,
    /// Its name. None if the program ended without naming it.
    pub test: Option<String>,
}

/// How a mutant was compiled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Means {
    /// With all others, behind a switch.
    Switch,
    /// Alone.
    Alone,
}

/// A result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    /// The mutant's name.
    pub mutant: String,
    /// Hash of what was run. A result counts for no other program.
    pub program: String,
    /// How it was compiled.
    pub means: Means,
    /// What became of it.
    pub outcome: Outcome,
    /// Who noticed it, or was running when its time was over.
    pub by: Option<Witness>,
    /// How long that took, in milliseconds.
    pub time_ms: u64,
}

/// A file of results. Of those of one mutant the last counts.
#[derive(Debug)]
pub struct Records {
    path: PathBuf,
    file: File,
    last: BTreeMap<String, Record>,
}

impl Records {
    /// Opens a file, or begins one. A line that is no result is passed over: an interruption leaves half of one.
    pub fn open(path: &Path) -> Result<Self, Trouble> {
        let folder = path.parent().expect("it is a file in a folder");
        fs::create_dir_all(folder).map_err(Trouble::file("make", folder))?;
        let text =
            if path.exists() { fs::read_to_string(path).map_err(Trouble::file("read", path))? } else { String::new() };
        let records = text.lines().filter_map(|line| serde_json::from_str::<Record>(line).ok());
        let last = records.map(|record| (record.mutant.clone(), record)).collect();
        let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(Trouble::file("open", path))?;
        if !text.is_empty() && !text.ends_with('\n') {
            writeln!(file).map_err(Trouble::file("write", path))?;
        }
        Ok(Self { path: path.to_owned(), file, last })
    }

    /// The last result of a mutant, whatever the program was.
    pub fn last(&self, mutant: &str) -> Option<&Record> {
        self.last.get(mutant)
    }

    /// Writes a result down.
    pub fn add(&mut self, record: Record) -> Result<(), Trouble> {
        let line = serde_json::to_string(&record).expect("numbers and names are JSON");
        writeln!(self.file, "{line}").map_err(Trouble::file("write", &self.path))?;
        self.last.insert(record.mutant.clone(), record);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(outcome: Outcome) -> Record {
        let by = Some(Witness { target: "t".into(), test: Some("x".into()) });
        Record { mutant: "m".into(), program: "p".into(), means: Means::Switch, outcome, by, time_ms: 1 }
    }

    #[test]
    fn the_last_result_counts_and_half_a_line_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("r/results.jsonl");
        let mut records = Records::open(&path).unwrap();
        records.add(record(Outcome::Missed)).unwrap();
        records.add(record(Outcome::Noticed)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("{text}{}", &text[..20])).unwrap();
        let mut again = Records::open(&path).unwrap();
        assert_eq!(again.last("m"), Some(&record(Outcome::Noticed)));
        again.add(record(Outcome::Missed)).unwrap();
        assert_eq!(Records::open(&path).unwrap().last("m"), Some(&record(Outcome::Missed)));
    }
}
