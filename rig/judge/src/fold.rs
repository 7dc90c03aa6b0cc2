//! A kernel that repeats one failing SEAMCALL without end makes hundreds of thousands of equal records a second. They are folded:
//! some are recorded, and for those that follow one record says how many there were ([`Mark::Repeated`]).
//!
//! Nothing is hidden by it. A call is left out only if it is equal to the one before it on its LP in all that is recorded but the
//! time, if that one failed, and if nothing else was recorded on any LP since the last one that was recorded. So between two other
//! records at least one call of a repetition always stands. What is folded depends on the guest's records alone, so a run that
//! repeats bit for bit is folded alike each time.

use crate::timeline::Status;
use rig_wire::event::{Kind, Mark, Record};
use std::mem::take;

/// Equal calls in a row that are recorded before any is left out: more than any kernel makes that gives up some time.
const KEPT: u64 = 100;
/// At most so many calls are left out in one record, so that the judge learns in time that they go on.
const CHUNK: u64 = 16_384;

/// Whether two records of one LP say the same, but for the time.
pub(crate) fn alike(one: &Record, other: &Record) -> bool {
    let place_and_time = Record { seq: other.seq, host_ns: other.host_ns, guest_ns: other.guest_ns, ..*one };
    place_and_time == *other
}

/// Folds the records of a run, in their order, before they are recorded and judged.
#[derive(Debug)]
pub struct Fold {
    lps: Vec<Calls>,
    /// Entries of calls that may be left out, in their order: that is not known before they end.
    waiting: Vec<Record>,
    /// Records so far that belong to no repetition.
    others: u64,
    out: Vec<Record>,
}

/// The calls of one LP.
#[derive(Clone, Debug, Default)]
struct Calls {
    enter: Record,
    exit: Record,
    /// Calls in a row that were equal to the last one, and failed.
    same: u64,
    /// The entry of the call under way is equal to the last one.
    enters_alike: bool,
    /// [`Fold::others`] when a call was last recorded in full.
    others: u64,
    left_out: u64,
    waits: bool,
}

impl Fold {
    /// For the records of a machine with so many LPs.
    pub fn new(lps: u16) -> Self {
        let lps = vec![Calls::default(); usize::from(lps)];
        Self { lps, waiting: Vec::new(), others: 0, out: Vec::new() }
    }

    /// Takes the next record of the guest; returns what is to be recorded now.
    pub fn push(&mut self, record: &Record) -> Vec<Record> {
        let known = usize::from(record.lp) < self.lps.len();
        match Kind::from_u16(record.kind) {
            Some(Kind::SeamcallEnter) if known => self.enter(record),
            Some(Kind::SeamcallExit) if known => self.exit(record),
            _ => self.other(record),
        }
        take(&mut self.out)
    }

    /// The run ends; returns what was kept back.
    pub fn finish(&mut self) -> Vec<Record> {
        self.write_out();
        take(&mut self.out)
    }

    fn enter(&mut self, record: &Record) {
        let calls = &mut self.lps[usize::from(record.lp)];
        calls.enters_alike = calls.same > 0 && alike(&calls.enter, record);
        calls.enter = *record;
        if calls.enters_alike && calls.same >= KEPT && calls.others == self.others {
            calls.waits = true;
            self.waiting.push(*record);
        } else if calls.enters_alike {
            self.record(record);
        } else {
            self.other(record);
        }
    }

    fn exit(&mut self, record: &Record) {
        let calls = &mut self.lps[usize::from(record.lp)];
        let repeats = calls.enters_alike && alike(&calls.exit, record);
        calls.exit = *record;
        if repeats && calls.waits {
            calls.waits = false;
            calls.same += 1;
            calls.left_out += 1;
            let full = calls.left_out == CHUNK;
            self.waiting.retain(|waiting| waiting.lp != record.lp);
            if full {
                self.sum_up(usize::from(record.lp));
            }
        } else if repeats {
            calls.same += 1;
            calls.others = self.others;
            self.record(record);
        } else {
            calls.same = u64::from(failed(record));
            self.other(record);
        }
    }

    /// Records what belongs to no repetition.
    fn other(&mut self, record: &Record) {
        self.others += 1;
        self.record(record);
    }

    fn record(&mut self, record: &Record) {
        self.write_out();
        self.out.push(*record);
    }

    /// Records all that was kept back.
    fn write_out(&mut self) {
        (0..self.lps.len()).for_each(|lp| self.sum_up(lp));
        for record in take(&mut self.waiting) {
            self.lps[usize::from(record.lp)].waits = false;
            self.out.push(record);
        }
    }

    fn sum_up(&mut self, lp: usize) {
        let calls = &mut self.lps[lp];
        let count = take(&mut calls.left_out);
        if count > 0 {
            let exit = calls.exit;
            let (kind, a) = (Kind::Mark as u16, Mark::Repeated as u64);
            self.out.push(Record { kind, a, b: count, c: exit.a, d: exit.b, ..exit });
        }
    }
}

/// Whether a SEAMCALL failed, by the record of its end.
pub(crate) fn failed(exit: &Record) -> bool {
    match Status::of(exit) {
        Status::VmFailInvalid => true,
        Status::Returned(status) => status >> 63 != 0,
        Status::Ud | Status::Gp => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: u64 = 0x8000_0202_0000_0000;

    struct Run {
        fold: Fold,
        out: Vec<Record>,
        now_ns: u64,
    }

    impl Run {
        fn new() -> Self {
            Self { fold: Fold::new(4), out: Vec::new(), now_ns: 0 }
        }

        fn push(&mut self, record: Record) {
            self.now_ns += 1000;
            self.out.extend(self.fold.push(&Record { guest_ns: self.now_ns, ..record }));
        }

        fn call(&mut self, lp: u16, leaf: u64, status: u64) {
            self.push(enter(lp, leaf));
            self.push(exit(lp, leaf, status));
        }

        fn calls(&mut self, count: u64) {
            (0..count).for_each(|_| self.call(0, 69, BUSY));
        }

        fn end(mut self) -> Vec<Record> {
            self.out.extend(self.fold.finish());
            self.out
        }
    }

    #[test]
    fn records_that_differ_in_place_and_time_are_alike() {
        let (one, other) = (enter(1, 69), Record { seq: 1, host_ns: 2, guest_ns: 3, ..enter(1, 69) });
        assert!(alike(&one, &other) && alike(&other, &one));
        assert!(!alike(&one, &enter(2, 69)) && !alike(&one, &enter(1, 70)) && !alike(&one, &exit(1, 69, 0)));
    }

    fn enter(lp: u16, a: u64) -> Record {
        Record { lp, kind: Kind::SeamcallEnter as u16, a, ..Record::default() }
    }

    fn exit(lp: u16, a: u64, b: u64) -> Record {
        Record { lp, kind: Kind::SeamcallExit as u16, a, b, ..Record::default() }
    }

    fn is_summary(record: &Record) -> bool {
        record.kind == Kind::Mark as u16 && record.a == Mark::Repeated as u64
    }

    /// Calls that ended, recorded or left out.
    fn counted(out: &[Record]) -> u64 {
        out.iter().map(|r| if is_summary(r) { r.b } else { u64::from(r.kind == Kind::SeamcallExit as u16) }).sum()
    }

    #[test]
    fn a_repetition_is_folded_and_counted() {
        let mut run = Run::new();
        run.calls(1_000_000);
        let out = run.end();
        assert_eq!(counted(&out), 1_000_000);
        assert!(out.len() < 300, "{}", out.len());
        let last = out.last().unwrap();
        assert_eq!((last.lp, last.c, last.d, last.guest_ns), (0, 69, BUSY, 2_000_000_000));
    }

    #[test]
    fn a_few_repetitions_and_successes_are_recorded_as_they_are() {
        let mut run = Run::new();
        run.calls(KEPT);
        (0..1000).for_each(|_| run.call(1, 34, 0));
        let out = run.end();
        assert_eq!(out.len() as u64, 2 * (KEPT + 1000));
        assert!(!out.iter().any(is_summary));
    }

    #[test]
    fn another_answer_ends_a_repetition_and_is_recorded_behind_it() {
        let mut run = Run::new();
        run.calls(500);
        run.call(0, 69, 0);
        let out = run.end();
        let n = out.len();
        assert!(is_summary(&out[n - 3]), "{:?}", out[n - 3]);
        assert_eq!((out[n - 2].kind, out[n - 1].kind, out[n - 1].b), (1, 2, 0));
        assert_eq!(counted(&out), 501);
    }

    #[test]
    fn between_two_other_records_a_call_always_stands() {
        let mut run = Run::new();
        run.calls(200);
        run.push(enter(1, 34));
        run.calls(50);
        run.push(exit(1, 34, 0));
        let out = run.end();
        let at = |lp| out.iter().position(|r| r.lp == 1 && r.kind == lp).unwrap();
        let between = &out[at(1)..at(2)];
        assert_eq!(between.iter().filter(|r| r.lp == 0).map(|r| r.kind).collect::<Vec<_>>(), [1, 2, 14]);
        assert_eq!(counted(&out), 251);
    }

    #[test]
    fn an_entry_keeps_its_place_when_its_call_turns_out_to_be_another() {
        let mut run = Run::new();
        run.calls(200);
        run.push(enter(0, 69));
        run.push(enter(1, 34));
        run.push(exit(0, 69, BUSY));
        let out = run.end();
        let n = out.len();
        assert_eq!(out[n - 3..].iter().map(|r| (r.lp, r.kind)).collect::<Vec<_>>(), [(0, 1), (1, 1), (0, 2)]);
    }

    #[test]
    fn two_lps_that_repeat_are_both_folded() {
        let mut run = Run::new();
        for _ in 0..10_000 {
            run.push(enter(0, 69));
            run.push(enter(1, 69));
            run.push(exit(0, 69, BUSY));
            run.push(exit(1, 69, BUSY));
        }
        let out = run.end();
        assert_eq!(counted(&out), 20_000);
        assert!(out.len() < 1000, "{}", out.len());
    }

    #[test]
    fn a_call_that_never_returns_is_recorded_at_the_end() {
        let mut run = Run::new();
        run.calls(200);
        run.push(enter(0, 69));
        assert_eq!(run.end().last().map(|r| r.kind), Some(1));
    }

    #[test]
    fn a_foreign_lp_is_passed_on() {
        let mut run = Run::new();
        for lp in [4, 9] {
            run.push(enter(lp, 69));
            run.push(exit(lp, 69, BUSY));
        }
        assert_eq!(run.end().len(), 4);
    }
}
