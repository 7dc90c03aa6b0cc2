//! What stands beside the states of a saved machine, and whether they are still what they were.

use crate::machine::snapshot::SavedMachine;
use crate::run::folder::{EVENTS, KERNEL_LOG};
use crate::trouble::Trouble;
use rig_judge::timeline::EventsReader;
use rig_wire::agent::Ready;
use rig_wire::event::Kind;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::fs::File;
use std::io;
use std::path::Path;

/// Form of what a snapshot's folder holds, and of how a guest is brought to the point where it is taken.
pub(super) const FORM: u32 = 6;
pub(super) const NOTE: &str = "snapshot.json";

/// What stands beside the states of a saved machine.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    form: u32,
    /// All that decided how it booted.
    inputs: Value,
    /// Hash of all that a run takes over: both states, the boot's events and its part of the kernel's log.
    pub(super) digest: String,
    /// The agent's first message.
    pub(crate) ready: Ready,
    /// The kernel offers no update.
    pub(crate) absent: bool,
    /// The errno with which the subject refused to be loaded.
    pub(crate) refused: Option<i32>,
}

impl Note {
    /// Of a machine that booted from `inputs` and was saved in `folder`, with what was recorded meanwhile.
    pub(crate) fn new(
        inputs: Value,
        folder: &Path,
        ready: Ready,
        (absent, refused): (bool, Option<i32>),
    ) -> Result<Self, Trouble> {
        check_log(&folder.join(EVENTS), &folder.join(KERNEL_LOG))?;
        let digest = digest(folder).map_err(|e| Trouble::file("read", folder, &e))?;
        Ok(Self { form: FORM, inputs, digest, ready, absent, refused })
    }

    /// Writes it into its folder.
    pub(crate) fn write(&self, folder: &Path) -> Result<(), Trouble> {
        let path = folder.join(NOTE);
        let text = serde_json::to_vec_pretty(self).expect("a note is plain data");
        std::fs::write(&path, text).map_err(|e| Trouble::file("write", &path, &e))
    }
}

/// The note of a snapshot that was made from these inputs, else why it is of no use.
pub(crate) fn read_note(folder: &Path, inputs: &Value) -> Result<Note, String> {
    let text = std::fs::read(folder.join(NOTE)).map_err(|e| format!("it has no note: {e}"))?;
    let note: Note = serde_json::from_slice(&text).map_err(|e| format!("its note is malformed: {e}"))?;
    if note.form != FORM {
        return Err(format!("it is of form {}, not {FORM}", note.form));
    }
    if note.inputs != *inputs {
        return Err("it was made from something else".into());
    }
    let machine = SavedMachine::within(folder);
    for path in [machine.qemu, machine.firmware, folder.join(EVENTS), folder.join(KERNEL_LOG)] {
        if !path.is_file() {
            return Err(format!("{} is missing", path.display()));
        }
    }
    Ok(note)
}

/// A hash of all that a run takes over from a snapshot.
pub(super) fn digest(folder: &Path) -> io::Result<String> {
    let mut hash = Sha256::new();
    hash.update(SavedMachine::within(folder).digest()?);
    for name in [EVENTS, KERNEL_LOG] {
        let mut file = File::open(folder.join(name))?;
        hash.update(file.metadata()?.len().to_le_bytes());
        io::copy(&mut file, &mut hash)?;
    }
    Ok(hex::encode(hash.finalize()))
}

/// Checks that the events refer to each line of the kernel's log once, so that a run that takes them over judges all of it.
fn check_log(events: &Path, log: &Path) -> Result<(), Trouble> {
    let damaged =
        |why: String| Trouble::environment(format!("the boot's recording cannot be kept: {why}"), "boot with --cold");
    let lines = std::fs::read(log).map_err(|e| Trouble::file("read", log, &e))?;
    let lines = String::from_utf8_lossy(&lines).lines().count();
    let mut referred = 0;
    for record in EventsReader::open(events).map_err(|e| damaged(e.to_string()))? {
        let record = record.map_err(|e| damaged(e.to_string()))?;
        referred += usize::from(record.kind == Kind::Console as u16);
    }
    if referred == lines {
        return Ok(());
    }
    Err(damaged(format!("its events refer to {referred} lines of the kernel's log, which has {lines}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_judge::timeline::EventsWriter;
    use rig_judge::{RunEnd, Setup, SubjectNames};
    use rig_wire::event::Record;
    use serde_json::json;

    fn ready() -> Ready {
        Ready { protocol: 2, kernel: "7.3".into(), cpus_online: "0".into(), cpus_present: "0".into() }
    }

    /// A snapshot's folder, with one line of the kernel's log in its events and `lines` in the log.
    fn saved(lines: &str) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        let saved = SavedMachine::within(dir.path());
        std::fs::write(&saved.qemu, "ram").unwrap();
        std::fs::write(&saved.firmware, "firmware").unwrap();
        let setup = Setup::new(4, SubjectNames::in_tree());
        let mut events = EventsWriter::create(&dir.path().join(EVENTS), &setup).unwrap();
        events.append(&Record { kind: Kind::Console as u16, ..Record::default() }).unwrap();
        events.finish(&RunEnd::Stopped).unwrap();
        std::fs::write(dir.path().join(KERNEL_LOG), lines).unwrap();
        dir
    }

    const LINE: &str = "[    0.000001] Linux\n";

    #[test]
    fn a_foreign_or_incomplete_snapshot_is_not_used() {
        let dir = saved(LINE);
        let inputs = json!({ "kernel": "a" });
        assert!(read_note(dir.path(), &inputs).unwrap_err().contains("no note"));
        Note::new(inputs.clone(), dir.path(), ready(), (false, None)).unwrap().write(dir.path()).unwrap();
        read_note(dir.path(), &inputs).unwrap();
        assert!(read_note(dir.path(), &json!({ "kernel": "b" })).unwrap_err().contains("something else"));
        let machine = SavedMachine::within(dir.path());
        for path in [machine.qemu, machine.firmware, dir.path().join(EVENTS), dir.path().join(KERNEL_LOG)] {
            let kept = std::fs::read(&path).unwrap();
            std::fs::remove_file(&path).unwrap();
            assert!(read_note(dir.path(), &inputs).unwrap_err().contains("missing"), "{}", path.display());
            std::fs::write(&path, kept).unwrap();
        }
    }

    #[test]
    fn whatever_is_taken_over_is_covered_by_the_digest() {
        let dir = saved(LINE);
        let kept = digest(dir.path()).unwrap();
        let machine = SavedMachine::within(dir.path());
        for path in [machine.qemu, machine.firmware, dir.path().join(EVENTS), dir.path().join(KERNEL_LOG)] {
            let mut bytes = std::fs::read(&path).unwrap();
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&path, &bytes).unwrap();
            assert_ne!(digest(dir.path()).unwrap(), kept, "{}", path.display());
            *bytes.last_mut().unwrap() ^= 1;
            std::fs::write(&path, &bytes[1..]).unwrap();
            assert_ne!(digest(dir.path()).unwrap(), kept, "{}", path.display());
            std::fs::write(&path, &bytes).unwrap();
            assert_eq!(digest(dir.path()).unwrap(), kept);
        }
    }

    #[test]
    fn a_log_that_does_not_fit_its_events_is_never_kept() {
        for (lines, has) in [("", 0), ("a\nb\n", 2)] {
            let dir = saved(lines);
            let refused = Note::new(json!({}), dir.path(), ready(), (false, None)).unwrap_err();
            assert!(
                refused.cause.contains(&format!("refer to 1 lines of the kernel's log, which has {has}")),
                "{refused}"
            );
        }
    }
}
