//! Queue nodes of locks: what they contain is dropped while they are not in use.

use super::explorer::Explorer;
use super::section::QueueNode;
use super::state::State;
use crate::firmware::Firmware;
use crate::image::Source;
use std::ops::Range;

/// Most nodes, by the bits of [`State::dead`].
pub(super) const MAX_NODES: usize = 32;

/// The nodes whose words are shared, with the slots of these.
#[derive(Debug, Default)]
pub(super) struct Nodes {
    /// All of them lie in here.
    span: Range<u64>,
    slots: Vec<(usize, [usize; 2])>,
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

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    /// The fields of queue nodes that an access touches, as bits of [`State::dead`].
    pub(super) fn dead_fields(&self, address: u64, size: u8) -> u64 {
        if !self.nodes.span.contains(&address) {
            return 0;
        }
        let end = address + u64::from(size);
        let touches = |start: u64, length: u64| address < start + length && start < end;
        let field = |(number, node): (usize, &QueueNode)| {
            u64::from(touches(node.start, 8)) << (2 * number)
                | u64::from(touches(node.start + 8, 4)) << (2 * number + 1)
        };
        self.section.nodes.iter().enumerate().map(field).fold(0, |all, bits| all | bits)
    }

    /// Sets the content of queue nodes that are not in use to zero, and marks it as dead.
    pub(super) fn drop_dead_nodes(&self, state: &mut State<F::State>) {
        if self.options.keeps_dead {
            return;
        }
        for (number, [first, second]) in &self.nodes.slots {
            if state.words[*second] >> 32 == 0 {
                state.words[*first] = 0;
                state.words[*second] = 0;
                state.dead |= 0b11 << (2 * number);
            }
        }
    }
}
