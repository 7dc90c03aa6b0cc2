//! How long the LP stays inside SEAM, by leaf.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Duration model: while a call lasts, its locks are held and its LP counts as busy.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct Durations {
    /// Nanoseconds for leaves that `leaf_ns` does not name; also for those that end with an error.
    pub default_ns: u64,
    /// Nanoseconds by leaf name, such as `TDH.SYS.SHUTDOWN` or `SEAMLDR.INSTALL`.
    pub leaf_ns: BTreeMap<String, u64>,
    /// Nanoseconds added per 4 KB page that a call reads, writes or measures.
    pub page_ns: u64,
}

impl Durations {
    /// Durations of about the size that servers show; nothing here was measured (unverified). They follow what the work
    /// is: a SEAMCALL round trip costs some 2 us; a page copied or hashed 1 us; P-SEAMLDR hashes the module and verifies
    /// an RSA signature without acceleration; PCONFIG and cache write-back are slow; a TD runs for its slice.
    pub fn realistic() -> Self {
        let leaf_ns = [
            ("SEAMLDR.INFO", 20_000),
            ("SEAMLDR.INSTALL", 50_000),
            ("TDH.SYS.INIT", 100_000),
            ("TDH.SYS.LP.INIT", 50_000),
            ("TDH.SYS.CONFIG", 100_000),
            ("TDH.SYS.KEY.CONFIG", 500_000),
            ("TDH.SYS.TDMR.INIT", 100_000),
            ("TDH.SYS.SHUTDOWN", 200_000),
            ("TDH.SYS.UPDATE", 200_000),
            ("TDH.MNG.KEY.CONFIG", 500_000),
            ("TDH.PHYMEM.CACHE.WB", 1_000_000),
            ("TDH.VP.ENTER", 50_000),
        ];
        Self {
            default_ns: 2_000,
            leaf_ns: leaf_ns.into_iter().map(|(name, ns)| (name.to_owned(), ns)).collect(),
            page_ns: 1_000,
        }
    }
}
