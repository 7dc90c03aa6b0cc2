//! Durations as the verdict and other files have them.

use std::time::Duration;

/// Whole milliseconds; the most that fits for what is longer.
pub(crate) fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
