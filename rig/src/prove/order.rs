//! Which operations of a counterexample must come before which, and no more than that.
//!
//! Two operations of different CPUs depend on each other if they touch the same bytes and one of them writes, or if both are at
//! a SEAMCALL. A run in which all dependent operations come in the counterexample's order finds in every load what the
//! counterexample finds there, so every CPU goes the same way. What follows from other pairs and from the order on each CPU
//! is left out.

use rig_interleave::search::Act;

/// Operation `later`, of one CPU, must wait for `earlier`, of another. Both are places in the list of operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wait {
    pub(super) later: usize,
    pub(super) earlier: usize,
}

/// How many operations of each CPU are known to have been done.
type Known = Vec<usize>;

/// The waits that together enforce the order.
pub(super) fn waits(acts: &[Act], cpus: usize) -> Vec<Wait> {
    let mut known: Vec<Known> = vec![vec![0; cpus]; cpus];
    // For each operation what was known behind it, and which of its CPU's operations it is, from 1.
    let mut behind: Vec<(Known, usize)> = Vec::new();
    let mut waits = Vec::new();
    for (later, act) in acts.iter().enumerate() {
        let cpu = usize::from(act.cpu);
        // The last operation on which this one depends comes first: it mostly implies the others.
        for earlier in (0..later).rev().filter(|earlier| depends(&acts[*earlier], act)) {
            let (there, number) = &behind[earlier];
            let other = usize::from(acts[earlier].cpu);
            if known[cpu][other] < *number {
                waits.push(Wait { later, earlier });
                for (mine, theirs) in known[cpu].iter_mut().zip(there) {
                    *mine = (*mine).max(*theirs);
                }
            }
        }
        known[cpu][cpu] += 1;
        behind.push((known[cpu].clone(), known[cpu][cpu]));
    }
    waits
}

fn depends(one: &Act, other: &Act) -> bool {
    if one.cpu == other.cpu {
        return false;
    }
    match (one.deed.touches(), other.deed.touches()) {
        (Some((a, a_size, a_writes)), Some((b, b_size, b_writes))) => {
            (a_writes || b_writes) && a < b + u64::from(b_size) && b < a + u64::from(a_size)
        }
        (None, None) => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_interleave::search::Deed;

    const fn act(cpu: u8, address: u64, writes: bool) -> Act {
        let (size, value) = (4, 0);
        let deed = if writes { Deed::Write { address, size, value } } else { Deed::Read { address, size, value } };
        Act { cpu, at: 0x1000, deed, interrupts: false }
    }

    #[test]
    fn a_lost_update_needs_two_waits() {
        // Both load the counter, then both store it.
        let acts = [act(0, 8, false), act(1, 8, false), act(0, 8, true), act(1, 8, true)];
        assert_eq!(waits(&acts, 2), [Wait { later: 2, earlier: 1 }, Wait { later: 3, earlier: 2 }]);
    }

    #[test]
    fn what_follows_is_left_out() {
        // CPU 1 reads a flag behind which CPU 0 wrote two words; it needs to wait for the flag only.
        let acts = [act(0, 8, true), act(0, 16, true), act(0, 24, true), act(1, 24, false), act(1, 8, false)];
        assert_eq!(waits(&acts, 2), [Wait { later: 3, earlier: 2 }]);
    }

    #[test]
    fn independent_operations_do_not_wait() {
        assert_eq!(waits(&[act(0, 8, true), act(1, 12, true), act(1, 16, false), act(0, 16, false)], 2), []);
    }
}
