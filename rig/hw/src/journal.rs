//! The journal: each step is written down before it is done, so that after a crash the last line says what was under way.

use crate::host::Host;
use crate::lock::{FOLDER, Holder, Lock};
use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::time::SystemTime;

const JOURNAL: &str = "journal.jsonl";
/// The last step of every command that was completed.
const DONE: &str = "done";

/// One line.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Entry {
    /// When, UTC.
    pub time: String,
    /// The process.
    pub pid: u32,
    /// What it is about to do.
    pub step: String,
    /// More about it.
    pub detail: Value,
}

/// The journal, for the command that has the lock.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    _lock: Lock,
}

impl Journal {
    /// Opens it for a command that changes the machine.
    pub fn open(host: &Host, lock: Lock) -> Result<Self, Trouble> {
        let path = host.path(&format!("{FOLDER}/{JOURNAL}"));
        let file = OpenOptions::new().create(true).read(true).append(true).open(&path);
        let file = file.map_err(|e| Trouble::file("open", &path, &e))?;
        Ok(Self { file, path, _lock: lock })
    }

    /// Writes down what is done next, and waits until it is on the disk.
    pub fn note(&mut self, step: &str, detail: Value) -> Result<(), Trouble> {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let entry = Entry { time, pid: std::process::id(), step: step.into(), detail };
        let line = serde_json::to_string(&entry).expect("an entry is plain data");
        self.append(&line).map_err(|e| Trouble::file("write", &self.path, &e))
    }

    /// A line that a crash or a full disk cut short is ended before the next one begins, so that only the torn one is unreadable.
    fn append(&mut self, line: &str) -> io::Result<()> {
        #[cfg(test)]
        if self.path.with_extension("full").exists() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let torn = if self.ends_with_a_line()? { "" } else { "\n" };
        self.file.write_all(format!("{torn}{line}\n").as_bytes())?;
        self.file.sync_all()
    }

    fn ends_with_a_line(&self) -> io::Result<bool> {
        let Some(last) = self.file.metadata()?.len().checked_sub(1) else { return Ok(true) };
        let mut byte = [0];
        self.file.read_exact_at(&mut byte, last)?;
        Ok(byte == *b"\n")
    }

    /// The command was completed.
    pub fn done(&mut self, detail: Value) -> Result<(), Trouble> {
        self.note(DONE, detail)
    }
}

/// All entries that can be read; a line that a crash cut short is left out.
pub fn entries(host: &Host) -> Vec<Entry> {
    let text = host.text(&format!("{FOLDER}/{JOURNAL}")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// How the last command that changed the machine stands.
#[derive(Clone, Debug, PartialEq)]
pub enum Last {
    /// It was completed, or there was none.
    Done,
    /// It is at it now.
    UnderWay(Entry),
    /// It ended before it was completed, when it was about to do this.
    CutShort(Entry),
    /// It is at this, or was when it ended; only root can find out which.
    Hidden(Entry),
}

/// The last entry, unless it says that its command was completed. The holder of the lock knows that no other command is under way.
pub fn unfinished(host: &Host) -> Option<Entry> {
    entries(host).pop().filter(|entry| entry.step != DONE)
}

/// Looks at the journal and at the lock.
pub fn last(host: &Host) -> Last {
    let Some(entry) = unfinished(host) else { return Last::Done };
    match Lock::holder(host) {
        Holder::Nobody => Last::CutShort(entry),
        Holder::Command => Last::UnderWay(entry),
        Holder::Hidden => Last::Hidden(entry),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use serde_json::json;

    fn journal(fake: &Fake) -> Journal {
        Journal::open(&fake.host(), Lock::take(&fake.host()).unwrap()).unwrap()
    }

    #[test]
    fn a_command_that_was_killed_is_reported() {
        let fake = Fake::new();
        assert_eq!(last(&fake.host()), Last::Done);
        let mut first = journal(&fake);
        first.note("upload", json!({ "image": "a" })).unwrap();
        assert!(matches!(last(&fake.host()), Last::UnderWay(entry) if entry.step == "upload"));
        drop(first);
        let Last::CutShort(left) = last(&fake.host()) else { panic!() };
        assert_eq!((left.step.as_str(), &left.detail["image"]), ("upload", &json!("a")));
        journal(&fake).done(json!({})).unwrap();
        assert_eq!(last(&fake.host()), Last::Done);
        assert_eq!(entries(&fake.host()).len(), 2);
    }

    /// The torn line is lost, and only that one.
    #[test]
    fn a_line_that_was_cut_short_takes_no_other_with_it() {
        let fake = Fake::new();
        journal(&fake).note("upload", json!(null)).unwrap();
        let path = format!("{FOLDER}/{JOURNAL}");
        let text = fake.host().read(&path).unwrap();
        fake.put(&path, format!("{text}\n{{\"time\": \"20"));
        assert_eq!(entries(&fake.host()).len(), 1);
        let mut next = journal(&fake);
        next.note("begin", json!(null)).unwrap();
        next.done(json!(null)).unwrap();
        let steps: Vec<String> = entries(&fake.host()).into_iter().map(|entry| entry.step).collect();
        assert_eq!(steps, ["upload", "begin", "done"]);
    }
}
