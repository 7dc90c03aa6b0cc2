//! What the threads of a load achieved together.

use rig_wire::agent::LoadReport;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts of one load, shared by its threads.
#[derive(Default)]
pub(super) struct Tally {
    operations: AtomicU64,
    errors: AtomicU64,
    first_error: OnceLock<String>,
}

impl Tally {
    /// Counts one attempt: its number of operations, or its failure.
    pub(super) fn count(&self, attempt: Result<u64, String>) {
        match attempt {
            Ok(operations) => _ = self.operations.fetch_add(operations, Ordering::Relaxed),
            Err(error) => {
                self.errors.fetch_add(1, Ordering::Relaxed);
                self.first_error.get_or_init(|| error);
            }
        }
    }

    /// The counts as the rig wants them.
    pub(super) fn report(&self, name: &str, elapsed: Duration) -> LoadReport {
        LoadReport {
            name: name.to_owned(),
            operations: self.operations.load(Ordering::Relaxed),
            errors: self.errors.load(Ordering::Relaxed),
            first_error: self.first_error.get().cloned(),
            counts: Vec::new(),
            chains: Vec::new(),
            elapsed_ms: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_error_stays_and_failures_are_no_operations() {
        let tally = Tally::default();
        for attempt in [Ok(2), Err("one".to_owned()), Ok(0), Err("two".to_owned()), Ok(1)] {
            tally.count(attempt);
        }
        let report = tally.report("x", Duration::from_micros(2999));
        assert_eq!((report.operations, report.errors, report.elapsed_ms), (3, 2, 2));
        assert_eq!(report.first_error.as_deref(), Some("one"));
    }
}
