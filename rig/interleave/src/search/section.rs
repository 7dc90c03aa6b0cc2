//! What is explored: the CPUs at the section's entry, and the addresses that the rules look at.

use crate::local::Vcpu;
use std::collections::BTreeMap;

/// Most CPUs.
pub(super) const MAX_CPUS: usize = 8;

/// A section and its addresses.
#[derive(Clone, Debug)]
pub struct Section {
    /// The CPUs before their first instruction, by number; one without a place in the section has returned 0.
    pub starts: Vec<Option<Vcpu>>,
    /// The state machine's words; none for code that is no update, of which only `progress` is judged.
    pub control: Option<Control>,
    /// What the kernel keeps of a success; none where there is no such record.
    pub record: Option<Record>,
    /// Nodes of lock queues, whose content is dropped while they are not in use.
    pub nodes: Vec<QueueNode>,
    /// What the uploader gets for each value that a CPU can return.
    pub uploader_results: BTreeMap<u32, u32>,
}

/// The words of `struct update_ctrl`.
#[derive(Clone, Copy, Debug)]
pub struct Control {
    /// The step, 4 bytes.
    pub state: u64,
    /// The count of acknowledgements, 4 bytes behind it.
    pub acknowledged: u64,
}

/// Where the kernel notes that an update succeeded.
#[derive(Clone, Debug)]
pub struct Record {
    /// One byte for each CPU: it is initialised.
    pub lps: Vec<u64>,
    /// One byte: the module is initialised.
    pub initialized: u64,
    /// Minor, major and update version, 2 bytes each.
    pub version: u64,
}

/// A queue node: 12 bytes of content, which is dead while the 4 bytes behind it are zero.
///
/// Nothing is taken on trust here: reading a dead node ends the proof, and so does writing a part of a field.
#[derive(Clone, Copy, Debug)]
pub struct QueueNode {
    /// Its address, a multiple of 8.
    pub start: u64,
}

impl Section {
    /// How many CPUs there are.
    pub fn cpus(&self) -> usize {
        self.starts.len()
    }
}
