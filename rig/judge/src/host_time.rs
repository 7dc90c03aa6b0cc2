//! Time that the host took from the machine: the guest's clock went on while its CPUs could not run.

use crate::timeline::is_mark;
use rig_wire::event::{HostCause, Kind, Mark, Record};
use std::collections::VecDeque;

/// Longer than any watchdog of the kernel waits, milliseconds.
const REMEMBERED_MS: u64 = 600_000;

/// What the host took lately, by the rig's own records ([`Mark::HostTook`]).
#[derive(Debug, Default)]
pub(crate) struct HostTime {
    lately: VecDeque<Interval>,
}

#[derive(Clone, Copy, Debug)]
struct Interval {
    /// When it ended, milliseconds of the host's time.
    end_ms: u64,
    length_ms: u64,
    took_ms: u64,
    cause: Option<HostCause>,
}

/// What the host took in some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Taken {
    pub(crate) ms: u64,
    /// What took most of it.
    pub(crate) cause: Option<HostCause>,
}

impl HostTime {
    /// Takes the next record.
    pub(crate) fn observe(&mut self, record: &Record) {
        if record.kind != Kind::Mark as u16 || !is_mark(record.a, Mark::HostTook) {
            return;
        }
        let end_ms = record.host_ns / 1_000_000;
        let (length_ms, took_ms) = (record.c, record.b.min(record.c));
        self.lately.push_back(Interval { end_ms, length_ms, took_ms, cause: HostCause::from_number(record.d) });
        while self.lately.front().is_some_and(|first| first.end_ms.saturating_add(REMEMBERED_MS) < end_ms) {
            self.lately.pop_front();
        }
    }

    /// What the host took in this time before the last of its records.
    pub(crate) fn taken_within(&self, window_ms: u64) -> Taken {
        let now_ms = self.lately.back().map_or(0, |last| last.end_ms);
        let begin_ms = now_ms.saturating_sub(window_ms);
        let share = |interval: &Interval| interval.within(begin_ms);
        let ms = self.lately.iter().map(share).fold(0, u64::saturating_add);
        let most = self.lately.iter().max_by_key(|interval| share(interval));
        Taken { ms, cause: most.filter(|most| share(most) > 0).and_then(|most| most.cause) }
    }
}

impl Interval {
    /// What it took behind this moment, if it took the same in each part.
    fn within(&self, begin_ms: u64) -> u64 {
        let inside_ms = self.end_ms.saturating_sub(begin_ms).min(self.length_ms);
        let took = u128::from(self.took_ms) * u128::from(inside_ms) / u128::from(self.length_ms.max(1));
        u64::try_from(took).unwrap_or(u64::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn took(host_time: &mut HostTime, (b, c): (u64, u64), end_ms: u64, cause: HostCause) {
        let (kind, a) = (Kind::Mark as u16, Mark::HostTook as u64);
        let host_ns = end_ms * 1_000_000;
        host_time.observe(&Record { kind, a, b, c, d: cause as u64, host_ns, ..Record::default() });
    }

    #[test]
    fn intervals_add_up_within_a_window() {
        let mut host_time = HostTime::default();
        assert_eq!(host_time.taken_within(20_000), Taken { ms: 0, cause: None });
        took(&mut host_time, (500, 1000), 10_000, HostCause::Starved);
        took(&mut host_time, (9000, 10_000), 30_000, HostCause::QemuStopped);
        took(&mut host_time, (0, 1000), 40_000, HostCause::Starved);
        assert_eq!(host_time.taken_within(60_000), Taken { ms: 9500, cause: Some(HostCause::QemuStopped) });
        assert_eq!(host_time.taken_within(15_000).ms, 4500, "half of an interval");
        assert_eq!(host_time.taken_within(5000), Taken { ms: 0, cause: None });
    }

    #[test]
    fn what_is_older_than_any_watchdog_is_forgotten() {
        for (age_ms, remembered_ms) in [(REMEMBERED_MS, 500), (REMEMBERED_MS + 1, 0)] {
            let mut host_time = HostTime::default();
            took(&mut host_time, (500, 1000), 10_000, HostCause::Starved);
            took(&mut host_time, (0, 1000), 10_000 + age_ms, HostCause::Starved);
            assert_eq!(host_time.taken_within(u64::MAX).ms, remembered_ms, "{age_ms}");
        }
    }

    #[test]
    fn only_marks_of_the_host_count() {
        let mut host_time = HostTime::default();
        let (kind, mark) = (Kind::Mark as u16, Mark::HostTook as u64);
        for (kind, a) in [(Kind::Watch as u16, mark), (kind, Mark::Ready as u64)] {
            host_time.observe(&Record { kind, a, b: 500, c: 1000, host_ns: 1_000_000_000, ..Record::default() });
        }
        assert_eq!(host_time.taken_within(20_000).ms, 0);
    }

    #[test]
    fn nonsense_takes_no_more_than_there_is() {
        let mut host_time = HostTime::default();
        took(&mut host_time, (u64::MAX, 1000), 1000, HostCause::Starved);
        took(&mut host_time, (5, 0), 2000, HostCause::Starved);
        assert_eq!(host_time.taken_within(u64::MAX).ms, 1000);
    }
}
