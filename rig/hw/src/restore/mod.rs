//! Putting back what a command changed.
//!
//! Before each change the way back is written to the journal and to the disk; then it is done. At the command's end, whichever
//! way it ends, all changes are undone, the last one first. After a crash or a kill `rig-hw check --repair` reads the ways back
//! from the journal and does the same.

mod undo;

pub(crate) use undo::Undo;

use crate::host::Host;
use crate::journal::{self, Entry, Journal};
use crate::say;
use crate::trouble::Trouble;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::SystemTime;

/// The step before a change, and the one after it was undone.
const CHANGE: &str = "change";
const RESTORED: &str = "restored";
/// Changes do not outlive the kernel that they were made in.
const BOOT: &str = "/proc/sys/kernel/random/boot_id";

/// One change, as the journal has it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Change {
    /// Its number, which no other change in the journal has.
    pub(crate) number: u64,
    /// The boot in which it was made, where the kernel says.
    boot: Option<String>,
    /// The way back.
    pub(crate) undo: Undo,
}

/// The journal of a command, and the changes that it has to undo.
#[derive(Debug)]
pub(crate) struct Restore {
    host: Host,
    journal: Journal,
    changes: Vec<Change>,
    next: u64,
}

impl Restore {
    /// Nothing was changed yet.
    pub(crate) fn new(host: &Host, journal: Journal) -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let next = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX >> 1);
        Self { host: host.clone(), journal, changes: Vec::new(), next }
    }

    /// What a command that ended too early left changed.
    pub(crate) fn of_earlier_command(host: &Host, journal: Journal) -> Self {
        let mut this = Self::new(host, journal);
        this.changes = pending(host);
        this
    }

    /// Writes a step into the journal.
    pub(crate) fn note(&mut self, step: &str, detail: Value) -> Result<(), Trouble> {
        self.journal.note(step, detail)
    }

    /// The command was completed.
    pub(crate) fn done(&mut self, detail: Value) -> Result<(), Trouble> {
        self.journal.done(detail)
    }

    /// Comes before each change: where it fails, the change must not be made.
    pub(crate) fn before(&mut self, undo: Undo) -> Result<(), Trouble> {
        let change = Change { number: self.next, boot: self.host.text(BOOT), undo };
        self.journal.note(CHANGE, json!(change))?;
        self.next += 1;
        self.changes.push(change);
        Ok(())
    }

    /// What a kill does: the memory of the changes is gone, the changes are not.
    #[cfg(test)]
    pub(crate) fn forget(mut self) {
        self.changes.clear();
    }

    /// Undoes all changes, the last one first; each is tried, whatever became of the others. What is still changed then, each
    /// with the reason, stays in the journal for `check --repair`.
    #[must_use = "what could not be restored must be reported"]
    pub(crate) fn undo_all(&mut self) -> Vec<String> {
        let mut failures = Vec::new();
        while let Some(change) = self.changes.pop() {
            if let Err(why) = change.undo.apply(&self.host) {
                failures.push(format!("{}: {why}", change.undo));
                continue;
            }
            // Without this line a later repair undoes it once more, which changes nothing.
            let noted = self.journal.note(RESTORED, json!({ "number": change.number }));
            noted.unwrap_or_else(|trouble| say::err(format!("warning: {}", trouble.cause)));
        }
        failures
    }
}

impl Drop for Restore {
    fn drop(&mut self) {
        for failure in self.undo_all() {
            say::err(format!("error: not restored: {failure}\nhelp: {REPAIR}"));
        }
    }
}

/// What helps when something stays changed.
pub(crate) const REPAIR: &str = "rig-hw check --repair";

/// Changes of this boot that the journal has and that were not undone, in the order in which they were made.
pub(crate) fn pending(host: &Host) -> Vec<Change> {
    let boot = host.text(BOOT);
    let mut changes: Vec<Change> = Vec::new();
    for Entry { step, detail, .. } in journal::entries(host) {
        match step.as_str() {
            CHANGE => changes.extend(serde_json::from_value(detail).ok().filter(|c: &Change| c.boot == boot)),
            RESTORED => changes.retain(|change| detail["number"] != change.number),
            _ => {}
        }
    }
    changes
}

#[cfg(test)]
mod tests;
