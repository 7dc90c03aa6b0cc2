//! Coverage of interleavings: which accesses of the watched words came right after which of another LP.

use rig_wire::event::{Kind, Record, flags};
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, PoisonError};

/// An access: the word, whether it is a store, and the LP.
type Access = (u64, bool, u16);

/// Pairs of accesses that came one after the other, over many runs.
#[derive(Debug, Default)]
pub(crate) struct Orders(Mutex<HashSet<(Access, Access)>>);

impl Orders {
    /// How many different pairs there were.
    pub(crate) fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn add(&self, pair: (Access, Access)) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(pair);
    }
}

/// Looks for pairs in one timeline.
#[derive(Debug, Default)]
pub(super) struct OrderWatch {
    last: HashMap<u64, Access>,
    known: HashSet<(Access, Access)>,
}

impl OrderWatch {
    /// Takes the next record; pairs that are new to this timeline go into `orders`.
    pub(super) fn observe(&mut self, record: &Record, orders: &Orders) {
        if record.kind != Kind::Watch as u16 {
            return;
        }
        let access = (record.a, record.flags & flags::STORE != 0, record.lp);
        if let Some(before) = self.last.insert(record.a, access)
            && before.2 != access.2
            && self.known.insert((before, access))
        {
            orders.add((before, access));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_of_different_lps_count_once() {
        let record = |lp, a, flags| Record { kind: Kind::Watch as u16, lp, a, flags, ..Record::default() };
        let (orders, mut watch) = (Orders::default(), OrderWatch::default());
        let timeline = [
            record(0, 1, 0),
            record(0, 1, flags::STORE),
            record(1, 1, 0),
            record(0, 2, 0),
            record(0, 1, flags::STORE),
            record(1, 1, 0),
        ];
        for record in &timeline {
            watch.observe(record, &orders);
        }
        // 0 stores then 1 loads (twice), 1 loads then 0 stores; word 2 has one access only.
        assert_eq!(orders.len(), 2);
        let mut again = OrderWatch::default();
        for record in &timeline {
            again.observe(record, &orders);
        }
        assert_eq!(orders.len(), 2);
    }
}
