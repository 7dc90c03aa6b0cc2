//! What is under way, written down before it is done: after a crash the last line tells.

use crate::host::Host;
use crate::trouble::Trouble;
use nix::fcntl::{Flock, FlockArg};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::time::SystemTime;

/// Folder of everything that this program leaves.
pub const FOLDER: &str = rig_wire::agent::EVIDENCE;
const JOURNAL: &str = "journal.jsonl";
const LOCK: &str = "lock";
/// The last step of every command that came to its end.
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

/// The journal, held by one command at a time.
#[derive(Debug)]
pub struct Journal {
    file: File,
    path: PathBuf,
    _lock: Flock<File>,
}

impl Journal {
    /// Opens it for a command that changes the machine. Refused while another command has it.
    pub fn open(host: &Host) -> Result<Self, Trouble> {
        let folder = host.path(FOLDER);
        fs::create_dir_all(&folder).map_err(|e| Trouble::file("make", &folder, &e))?;
        let lock_path = folder.join(LOCK);
        let open = |path: &PathBuf| OpenOptions::new().create(true).append(true).open(path);
        let lock = open(&lock_path).map_err(|e| Trouble::file("open", &lock_path, &e))?;
        let busy = |_| {
            let help = "wait for it to end; `rig-hw journal` tells what it does";
            Trouble::refused("another rig-hw is changing this machine", help)
        };
        let lock = Flock::lock(lock, FlockArg::LockExclusiveNonblock).map_err(busy)?;
        let path = folder.join(JOURNAL);
        let file = open(&path).map_err(|e| Trouble::file("open", &path, &e))?;
        Ok(Self { file, path, _lock: lock })
    }

    /// Writes down what is done next, and waits until it is on the disk.
    pub fn note(&mut self, step: &str, detail: Value) -> Result<(), Trouble> {
        let time = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
        let entry = Entry { time, pid: std::process::id(), step: step.into(), detail };
        let line = serde_json::to_string(&entry).expect("an entry is plain data") + "\n";
        let written = self.file.write_all(line.as_bytes()).and_then(|()| self.file.sync_all());
        written.map_err(|e| Trouble::file("write", &self.path, &e))
    }

    /// The command came to its end.
    pub fn done(&mut self, detail: Value) -> Result<(), Trouble> {
        self.note(DONE, detail)
    }
}

/// All entries that can be read; a line that a crash cut short is left out.
pub fn entries(host: &Host) -> Vec<Entry> {
    let text = host.text(&format!("{FOLDER}/{JOURNAL}")).unwrap_or_default();
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// What the last command was about to do when it ended without coming to its end, unless it is still at it.
pub fn unfinished(host: &Host) -> Option<Entry> {
    let last = entries(host).pop().filter(|entry| entry.step != DONE)?;
    let lock = File::open(host.path(&format!("{FOLDER}/{LOCK}"))).ok()?;
    Flock::lock(lock, FlockArg::LockSharedNonblock).is_ok().then_some(last)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;
    use serde_json::json;

    #[test]
    fn a_command_that_was_killed_is_told() {
        let fake = Fake::new();
        assert_eq!(unfinished(&fake.host()), None);
        let mut journal = Journal::open(&fake.host()).unwrap();
        journal.note("upload", json!({ "image": "a" })).unwrap();
        assert_eq!(unfinished(&fake.host()), None, "it is still at it");
        drop(journal);
        let left = unfinished(&fake.host()).unwrap();
        assert_eq!((left.step.as_str(), &left.detail["image"]), ("upload", &json!("a")));
        let mut journal = Journal::open(&fake.host()).unwrap();
        journal.done(json!({})).unwrap();
        drop(journal);
        assert_eq!(unfinished(&fake.host()), None);
        assert_eq!(entries(&fake.host()).len(), 2);
    }

    #[test]
    fn cannot_have_two_at_once() {
        let fake = Fake::new();
        let first = Journal::open(&fake.host()).unwrap();
        assert!(Journal::open(&fake.host()).unwrap_err().cause.contains("another rig-hw"));
        drop(first);
        assert!(Journal::open(&fake.host()).is_ok());
    }

    #[test]
    fn a_line_that_was_cut_short_is_left_out() {
        let fake = Fake::new();
        Journal::open(&fake.host()).unwrap().note("upload", json!(null)).unwrap();
        let path = format!("{FOLDER}/{JOURNAL}");
        let text = fake.host().read(&path).unwrap();
        fake.put(&path, format!("{text}\n{{\"time\": \"20"));
        assert_eq!(entries(&fake.host()).len(), 1);
    }
}
