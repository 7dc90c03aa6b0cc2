//! Queue nodes that are not in use: their fields are dead in a state ([`super::nodes`]).

use super::explorer::Explorer;
use super::section::QueueNode;
use super::state::State;
use crate::firmware::Firmware;
use crate::image::Source;

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
