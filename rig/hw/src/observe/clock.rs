//! The clock of a trace.
//!
//! `x86-tsc` stamps with RDTSC: where the kernel itself keeps time by it, it is the same on all CPUs. Else `counter`, one counter
//! for all CPUs, gives the order and no time (Documentation/trace/ftrace.rst, `trace_clock`).

use crate::host::Host;
use nix::time::{ClockId, clock_gettime};

/// Which clock, and how its unit becomes nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Clock {
    /// Time stamp counter.
    Tsc,
    /// One counter.
    Counter,
}

/// Where the kernel says by which clock it keeps time.
const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

impl Clock {
    /// The one to take on this host.
    pub(crate) fn of(host: &Host) -> Self {
        if host.text(SOURCE).is_some_and(|source| source == "tsc") { Self::Tsc } else { Self::Counter }
    }

    /// Its name in `trace_clock`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Tsc => "x86-tsc",
            Self::Counter => "counter",
        }
    }
}

/// Two readings of a clock and of `CLOCK_MONOTONIC` at once.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Scale {
    from: (u64, u64),
    ns_per_tick: f64,
}

impl Scale {
    /// From two pairs of (ticks, nanoseconds); none where they are too close to compute a rate.
    pub(crate) fn new(from: (u64, u64), to: (u64, u64)) -> Option<Self> {
        let ticks = to.0.checked_sub(from.0).filter(|ticks| *ticks > 0)?;
        #[expect(clippy::cast_precision_loss, reason = "differences of a few seconds, to a nanosecond")]
        let ns_per_tick = to.1.checked_sub(from.1)? as f64 / ticks as f64;
        Some(Self { from, ns_per_tick })
    }

    /// Nanoseconds of `CLOCK_MONOTONIC`. The order of ticks is kept.
    pub(crate) fn ns(&self, ticks: u64) -> u64 {
        let (base, ns) = self.from;
        #[expect(clippy::cast_precision_loss, reason = "as in `new`")]
        let scale = |ticks: u64| (ticks as f64 * self.ns_per_tick).round();
        #[expect(clippy::cast_sign_loss, reason = "a rate and a difference, both positive")]
        let difference = |ticks| scale(ticks) as u64;
        match ticks.checked_sub(base) {
            Some(later) => ns.saturating_add(difference(later)),
            None => ns.saturating_sub(difference(base - ticks)),
        }
    }
}

/// `CLOCK_MONOTONIC`, nanoseconds.
pub(crate) fn monotonic_ns() -> u64 {
    let time = clock_gettime(ClockId::CLOCK_MONOTONIC).expect("every Linux has this clock");
    time.tv_sec().cast_unsigned() * 1_000_000_000 + time.tv_nsec().cast_unsigned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_become_nanoseconds() {
        let scale = Scale::new((1000, 500), (3000, 1500)).unwrap();
        assert_eq!([0, 1000, 2000, 5000].map(|ticks| scale.ns(ticks)), [0, 500, 1000, 2500]);
        assert_eq!(Scale::new((5, 1), (5, 2)), None);
        assert_eq!(Scale::new((5, 1), (4, 2)), None);
    }

    #[test]
    fn time_goes_on() {
        let before = monotonic_ns();
        assert!(before > 0 && monotonic_ns() >= before);
    }
}
