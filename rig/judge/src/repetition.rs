//! Livelocks: an LP that makes one failing SEAMCALL again and again, and does nothing else.

use crate::fold::{alike, failed};
use crate::timeline::{Leaf, Status, is_mark};
use rig_wire::event::{Kind, Mark, NO_LP, Record};
use std::fmt;

/// How long an LP may repeat a call, nanoseconds of the guest's time. The longest that the firmware or a hold keeps a call busy on purpose is shorter.
const LIMIT_NS: u64 = 5_000_000_000;
/// Calls in each second that show that the LP does nothing else; loads, which sleep in between, make at most a thousand.
const PER_SECOND: u64 = 10_000;

/// An LP that repeats one call without end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Livelock {
    /// Which LP.
    pub lp: u16,
    /// Calls in a row.
    pub count: u64,
    /// From the end of the first to the end of the last, nanoseconds of the guest's time.
    pub lasted_ns: u64,
    /// The end of the first one.
    pub first: Record,
    /// The last record of them.
    pub last: Record,
}

impl fmt::Display for Livelock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (leaf, status) = (Leaf::of(&self.first).name(), Status::of(&self.first).name());
        let (lp, count, tenths) = (self.lp, self.count, self.lasted_ns / 100_000_000);
        let (s, tenths) = (tenths / 10, tenths % 10);
        write!(
            f,
            "CPU {lp} repeats {leaf} without end: {count} calls in {s}.{tenths} s of guest time, and each returned {status}"
        )
    }
}

/// Follows the calls that each LP repeats.
#[derive(Debug)]
pub(crate) struct Repetitions(Vec<Option<Repetition>>);

#[derive(Clone, Copy, Debug)]
struct Repetition {
    enter: Record,
    first: Record,
    last: Record,
    count: u64,
}

impl Repetitions {
    pub(crate) fn new(lps: u16) -> Self {
        Self(vec![None; usize::from(lps)])
    }

    /// Takes the next record; `enter` is the entry of the call that the LP is in.
    pub(crate) fn observe(&mut self, record: &Record, enter: Option<&Record>) {
        if record.lp == NO_LP {
            return;
        }
        let Some(slot) = self.0.get_mut(usize::from(record.lp)) else { return };
        match Kind::from_u16(record.kind) {
            // Whether it is the same call again is known at its end; the others come to an LP whatever it does.
            Some(
                Kind::SeamcallEnter | Kind::Interrupt | Kind::Exception | Kind::Idle | Kind::HoldBegin | Kind::HoldEnd,
            ) => {}
            Some(Kind::SeamcallExit) => {
                *slot = enter.filter(|_| failed(record)).map(|enter| next(*slot, enter, record));
            }
            Some(Kind::Mark) if is_mark(record.a, Mark::Repeated) => {
                if let Some(repetition) = slot {
                    repetition.count = repetition.count.saturating_add(record.b);
                    repetition.last = *record;
                }
            }
            _ => *slot = None,
        }
    }

    /// The LP that makes its call longest without end, if there is one.
    pub(crate) fn livelock(&self) -> Option<Livelock> {
        self.0.iter().flatten().filter_map(Repetition::livelock).max_by_key(|livelock| livelock.lasted_ns)
    }
}

/// The repetition behind the end of one more failed call.
fn next(before: Option<Repetition>, enter: &Record, exit: &Record) -> Repetition {
    match before.filter(|before| alike(&before.enter, enter) && alike(&before.first, exit)) {
        Some(before) => Repetition { last: *exit, count: before.count + 1, ..before },
        None => Repetition { enter: *enter, first: *exit, last: *exit, count: 1 },
    }
}

impl Repetition {
    fn livelock(&self) -> Option<Livelock> {
        let lasted_ns = time_ns(&self.last).saturating_sub(time_ns(&self.first));
        let wanted = PER_SECOND.saturating_mul(lasted_ns / 1_000_000_000);
        let Self { first, last, count, .. } = *self;
        (lasted_ns >= LIMIT_NS && count >= wanted).then_some(Livelock { lp: first.lp, count, lasted_ns, first, last })
    }
}

/// The guest's time, or the host's where that cannot be read.
fn time_ns(record: &Record) -> u64 {
    if record.guest_ns == 0 { record.host_ns } else { record.guest_ns }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUSY: u64 = 0x8000_0202_0000_0000;

    /// CPU 1 makes `count` calls, one each `each_us`.
    fn calling(count: u64, each_us: u64, status: u64) -> Repetitions {
        let mut repetitions = Repetitions::new(2);
        for n in 1..=count {
            let guest_ns = n * each_us * 1000;
            let enter = Record { lp: 1, kind: Kind::SeamcallEnter as u16, a: 69, guest_ns, ..Record::default() };
            let exit = Record { kind: Kind::SeamcallExit as u16, b: status, ..enter };
            repetitions.observe(&enter, None);
            repetitions.observe(&exit, Some(&enter));
        }
        repetitions
    }

    #[test]
    fn a_call_that_is_repeated_for_long_and_often_is_a_livelock() {
        let livelock = calling(130_000, 40, BUSY).livelock().unwrap();
        assert_eq!((livelock.lp, livelock.count), (1, 130_000));
        let words = livelock.to_string();
        for part in ["CPU 1", "SYS.DISABLE", "130000 calls", "5.1 s", "SYS_BUSY", "0x8000020200000000"] {
            assert!(words.contains(part), "{words}");
        }
    }

    /// Neither another answer to the same call nor the same answer to another call is a repetition.
    #[test]
    fn calls_that_take_turns_are_none() {
        let of = |leaf: fn(u64) -> u64, status: fn(u64) -> u64| {
            let mut repetitions = Repetitions::new(2);
            for n in 1..=130_000 {
                let (kind, guest_ns) = (Kind::SeamcallEnter as u16, n * 40_000);
                let enter = Record { lp: 1, kind, a: leaf(n), guest_ns, ..Record::default() };
                let exit = Record { kind: Kind::SeamcallExit as u16, b: status(n), ..enter };
                repetitions.observe(&exit, Some(&enter));
            }
            repetitions.livelock().is_some()
        };
        assert!(of(|_| 69, |_| BUSY));
        assert!(!of(|_| 69, |n| BUSY + n % 2));
        assert!(!of(|n| 68 + n % 2, |_| BUSY));
    }

    #[test]
    fn what_ends_soon_or_sleeps_in_between_or_succeeds_is_none() {
        assert_eq!(calling(100_000, 40, BUSY).livelock(), None, "4 s");
        assert_eq!(calling(20_000, 1000, BUSY).livelock(), None, "a load");
        assert_eq!(calling(130_000, 40, 0).livelock(), None, "successes");
    }

    #[test]
    fn records_of_calls_that_were_left_out_count() {
        let mut repetitions = calling(100, 10, BUSY);
        let (kind, a) = (Kind::Mark as u16, Mark::Repeated as u64);
        let mark = Record { lp: 1, kind, a, b: 200_000, guest_ns: 6_000_000_000, ..Record::default() };
        repetitions.observe(&mark, None);
        assert_eq!(repetitions.livelock().unwrap().count, 200_100);
    }

    #[test]
    fn anything_else_on_the_lp_ends_it_and_what_comes_by_itself_does_not() {
        let table = [
            (Kind::FunctionEnter, true),
            (Kind::Watch, true),
            (Kind::Mark, true),
            (Kind::Interrupt, false),
            (Kind::Idle, false),
        ];
        for (kind, ends) in table {
            let mut repetitions = calling(130_000, 40, BUSY);
            let guest_ns = 6_000_000_000;
            repetitions.observe(&Record { lp: 1, kind: kind as u16, guest_ns, ..Record::default() }, None);
            assert_eq!(repetitions.livelock().is_none(), ends, "{kind:?}");
        }
        let mut repetitions = calling(130_000, 40, BUSY);
        repetitions.observe(&Record { lp: 0, kind: Kind::Watch as u16, ..Record::default() }, None);
        assert!(repetitions.livelock().is_some(), "another CPU goes on");
    }
}
