//! How long the LP stays inside SEAM, by leaf.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Duration model: while a call lasts, its locks are held and its LP counts as busy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Durations {
    /// Nanoseconds for leaves that `leaf_ns` does not name; also for those that end with an error.
    pub default_ns: u64,
    /// Nanoseconds by leaf name, such as `TDH.SYS.SHUTDOWN` or `SEAMLDR.INSTALL`.
    pub leaf_ns: BTreeMap<String, u64>,
    /// Nanoseconds added per 4 KB page that a call reads, writes or measures.
    pub page_ns: u64,
}
