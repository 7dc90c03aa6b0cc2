//! Between loads and updates: no update begins while a load has taken away what every update needs.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Closed by an update for as long as it lasts, and by a load while it has a CPU offline.
#[derive(Debug, Default)]
pub(crate) struct Gate(Mutex<BTreeMap<PathBuf, String>>);

/// The gate, closed as long as this value exists.
#[derive(Debug)]
pub(crate) struct Closed<'a>(MutexGuard<'a, BTreeMap<PathBuf, String>>);

impl Gate {
    /// Waits until no other thread has it closed, and closes it.
    pub(crate) fn close(&self) -> Closed<'_> {
        Closed(self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Closed<'_> {
    /// What loads took away and could not bring back, with the reason; an update must not begin unless there is nothing.
    pub(crate) fn missing(&self) -> Vec<String> {
        self.0.values().cloned().collect()
    }

    /// The load that has the gate could not bring this CPU back.
    pub(crate) fn is_missing(&mut self, cpu: &Path, why: String) {
        self.0.insert(cpu.to_owned(), why);
    }

    /// This CPU is back.
    pub(crate) fn is_back(&mut self, cpu: &Path) {
        self.0.remove(cpu);
    }
}
