//! Which registers and flags may still be read, along the edges that were executed.
//!
//! Why dropping the rest is sound: a dead register is written before it is read on every path of known edges, so an execution
//! that starts with another value in it makes the same accesses, for as long as it stays on known edges. Leaving them starts
//! the exploration again. At an address from which no edge is known everything is live.

use super::decoded::{Effects, flag_bits};
use super::vcpu::RETURN;
use crate::isa::{flag, gpr};
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Live registers and flags before each instruction.
pub(super) fn compute(edges: &BTreeMap<u64, BTreeSet<u64>>, effects: &BTreeMap<u64, Effects>) -> HashMap<u64, u32> {
    let always = 1 << gpr::RSP | flag_bits(flag::IF);
    let mut live: HashMap<u64, u32> = HashMap::from([(RETURN, 1 << gpr::RAX)]);
    loop {
        let mut changed = false;
        for (from, successors) in edges.iter().rev() {
            let unknown = |to: &u64| if edges.contains_key(to) { 0 } else { u32::MAX };
            let behind =
                successors.iter().fold(0, |all, to| all | live.get(to).copied().unwrap_or_else(|| unknown(to)));
            let Effects { reads, writes } = effects[from];
            let before = always | reads | behind & !writes;
            changed |= live.insert(*from, before) != Some(before);
        }
        if !changed {
            return live;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_before_it_is_read_is_dead() {
        let edges = BTreeMap::from([(1, BTreeSet::from([2])), (2, BTreeSet::from([RETURN]))]);
        let write = Effects { reads: 0, writes: 1 << gpr::RAX };
        let read = Effects { reads: 1 << gpr::RCX, writes: 0 };
        let live = compute(&edges, &BTreeMap::from([(1, write), (2, read)]));
        assert_eq!(live[&1] & 0b11, 1 << gpr::RCX);
        assert_eq!(live[&2] & 0b11, 1 << gpr::RCX | 1 << gpr::RAX, "the result is read at the end");
    }

    #[test]
    fn all_is_live_where_the_way_on_is_unknown() {
        let edges = BTreeMap::from([(1, BTreeSet::from([9]))]);
        let live = compute(&edges, &BTreeMap::from([(1, Effects::default())]));
        assert_eq!(live[&1], u32::MAX);
    }
}
