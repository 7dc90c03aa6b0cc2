//! Queue nodes of locks: what they contain is dropped while they are not in use.

use super::section::QueueNode;
use std::ops::Range;

/// Most nodes, by the bits of `State::dead`.
pub(super) const MAX_NODES: usize = 32;

/// The nodes whose words are shared, with the slots of these.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// All of them lie in here.
    pub(super) span: Range<u64>,
    pub(super) slots: Vec<(usize, [usize; 2])>,
}

impl Nodes {
    /// Finds the nodes among the shared words.
    pub(super) fn new(nodes: &[QueueNode], words: &[u64]) -> Self {
        let start = nodes.iter().map(|node| node.start).min().unwrap_or(0);
        let end = nodes.iter().map(|node| node.start + 16).max().unwrap_or(0);
        let slots = |(number, node): (usize, &QueueNode)| {
            let slot = |address: u64| words.binary_search(&address).ok();
            Some((number, [slot(node.start)?, slot(node.start + 8)?]))
        };
        Self { span: start..end, slots: nodes.iter().enumerate().filter_map(slots).collect() }
    }
}
