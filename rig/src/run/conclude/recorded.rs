//! What the recording shows of a run beside what the judge finds in it: whether faults struck, and whether updates called the firmware.

use crate::scenario::FaultSpec;
use rig_judge::timeline::{Leaf, Status};
use rig_wire::event::{Kind, Record, flags};
use seam_emu::FaultAction;
use seam_emu::abi;
use std::collections::BTreeMap;

/// What the recording shows.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Recorded {
    /// How often each fault of the scenario struck, in the scenario's order.
    pub(crate) strikes: Vec<u32>,
    /// SEAMCALLs that only updates make: SHUTDOWN, INSTALL and UPDATE.
    pub(crate) update_calls: u64,
}

impl Recorded {
    /// Looks through all records of a run.
    pub(crate) fn of(faults: &[FaultSpec], records: impl IntoIterator<Item = Record>) -> Self {
        let mut recorded = Self { strikes: vec![0; faults.len()], update_calls: 0 };
        // LPs inside a SEAMCALL, by its entry.
        let mut inside: BTreeMap<u16, Record> = BTreeMap::new();
        for record in records {
            let leaf = Leaf::of(&record);
            match Kind::from_u16(record.kind) {
                Some(Kind::SeamcallEnter) => {
                    inside.insert(record.lp, record);
                    recorded.update_calls += u64::from([Leaf::SHUTDOWN, Leaf::INSTALL, Leaf::UPDATE].contains(&leaf));
                }
                Some(Kind::SeamcallExit) => {
                    let took_ns = inside.remove(&record.lp).map_or(0, |entry| between_ns(&entry, &record));
                    let by_fault = record.flags & flags::FAULT != 0;
                    recorded.count(
                        faults,
                        record.lp,
                        leaf,
                        Some(End { status: Status::of(&record), by_fault, took_ns }),
                    );
                }
                _ => {}
            }
        }
        for (lp, entry) in inside {
            recorded.count(faults, lp, Leaf::of(&entry), None);
        }
        recorded
    }

    /// Counts a strike for the first fault that it can be of. `end`: how the call ended; none: it never did.
    fn count(&mut self, faults: &[FaultSpec], lp: u16, leaf: Leaf, end: Option<End>) {
        let is_it = |fault: &FaultSpec, struck: u32| {
            let place = abi::Leaf::from_name(&fault.leaf).is_some_and(|own| own.number() == leaf.0);
            let lp = fault.lp.is_none_or(|own| own == usize::from(lp));
            let effect = match fault.action {
                FaultAction::NeverReturns => end.is_none(),
                FaultAction::Status(own) => end.is_some_and(|end| end.by_fault && end.status == Status::Returned(own)),
                FaultAction::VmFailInvalid => {
                    end.is_some_and(|end| end.by_fault && end.status == Status::VmFailInvalid)
                }
                // A delay decides nothing of the outcome: it is seen by the time that the call took.
                FaultAction::DelayNs(own) => end.is_some_and(|end| end.took_ns >= own),
                FaultAction::TransientShutdownNs(_) | FaultAction::CorruptTd(_) => end.is_some_and(|end| end.by_fault),
            };
            place && lp && effect && struck < fault.times
        };
        let found = faults.iter().zip(&mut self.strikes).find(|(fault, struck)| is_it(fault, **struck));
        if let Some((_, struck)) = found {
            *struck += 1;
        }
    }
}

/// How a call ended.
#[derive(Clone, Copy)]
struct End {
    status: Status,
    by_fault: bool,
    took_ns: u64,
}

/// Nanoseconds from one record to another; by the emulator's clock where the guest's is not read.
fn between_ns(from: &Record, to: &Record) -> u64 {
    to.guest_ns.saturating_sub(from.guest_ns).max(to.host_ns.saturating_sub(from.host_ns))
}

/// A fault as a report names it.
pub(super) fn describe(fault: &FaultSpec) -> String {
    let lp = fault.lp.map_or_else(String::new, |lp| format!(" on LP {lp}"));
    let nth = if fault.nth > 1 { format!(", call {}", fault.nth) } else { String::new() };
    format!("fault of {}{lp}{nth}", fault.leaf)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(text: &str) -> FaultSpec {
        toml::from_str(&format!("leaf = \"SEAMLDR.INSTALL\"\n{text}")).unwrap()
    }

    fn call(lp: u16, leaf: Leaf, exit: Option<(u64, u32)>) -> Vec<Record> {
        let enter = Record { kind: Kind::SeamcallEnter as u16, lp, a: leaf.0, ..Record::default() };
        let exit = exit.map(|(b, flags)| Record { kind: Kind::SeamcallExit as u16, b, flags, ..enter });
        [Some(enter), exit].into_iter().flatten().collect()
    }

    fn lasting(mut call: Vec<Record>, took_ns: u64) -> Vec<Record> {
        call[1].guest_ns += took_ns;
        call
    }

    fn strikes(faults: &[FaultSpec], calls: &[Vec<Record>]) -> Vec<u32> {
        Recorded::of(faults, calls.concat()).strikes
    }

    #[test]
    fn a_fault_struck_where_a_call_ended_by_it() {
        let faults = [fault("lp = 2\naction = { status = 7 }")];
        assert_eq!(strikes(&faults, &[call(2, Leaf::INSTALL, Some((7, flags::FAULT)))]), [1]);
        for other in [
            call(2, Leaf::INSTALL, Some((7, 0))),
            call(1, Leaf::INSTALL, Some((7, flags::FAULT))),
            call(2, Leaf::INSTALL, Some((8, flags::FAULT))),
            call(2, Leaf::UPDATE, Some((7, flags::FAULT))),
            call(2, Leaf::INSTALL, None),
        ] {
            assert_eq!(strikes(&faults, &[other]), [0]);
        }
    }

    #[test]
    fn each_kind_of_fault_leaves_its_own_trace() {
        let faults = [
            fault("lp = 1\naction = \"vm-fail-invalid\""),
            fault("lp = 2\naction = \"never-returns\""),
            fault("lp = 3\naction = { delay-ns = 5 }"),
        ];
        let failed = flags::FAULT | flags::VMFAIL_INVALID;
        let calls = [
            call(1, Leaf::INSTALL, Some((0, failed))),
            call(2, Leaf::INSTALL, None),
            lasting(call(3, Leaf::INSTALL, Some((0, 0))), 5),
        ];
        assert_eq!(strikes(&faults, &calls), [1, 1, 1]);
        let sooner = lasting(call(3, Leaf::INSTALL, Some((0, 0))), 4);
        assert_eq!(strikes(&faults, &[sooner]), [0, 0, 0], "a call that was not delayed");
        assert_eq!(Recorded::of(&faults, calls.concat()).update_calls, 3);
    }

    #[test]
    fn faults_that_look_alike_share_their_strikes_in_order() {
        let faults = [fault("times = 2\naction = { status = 7 }"), fault("nth = 9\naction = { status = 7 }")];
        let struck = call(0, Leaf::INSTALL, Some((7, flags::FAULT)));
        assert_eq!(strikes(&faults, &[struck.clone(), struck.clone()]), [2, 0]);
        assert_eq!(strikes(&faults, &[struck.clone(), struck.clone(), struck]), [2, 1]);
    }
}
