//! Time that the host takes from the machine: the guest's clock goes on, and its CPUs cannot run. What is found here is
//! written into the recording ([`Mark::HostTook`]), so that the judge can distinguish a lockup of the guest from one of
//! the host.

use crate::machine::{Gauge, Usage};
use nix::time::{ClockId, clock_gettime};
use rig_wire::event::{HostCause, Kind, Mark, NO_LP, Record};

/// How often QEMU's threads are looked at, milliseconds.
const LOOK_MS: u64 = 1000;
/// The observer looks around every few milliseconds; a longer pause is the host's.
const PAUSE_MS: u64 = 2000;
/// A share of an interval that is worth a record.
const WORTH: u64 = 4;
/// QEMU wants to run for less than this share of an interval: it has nothing to lose.
const IDLE: u64 = 20;
/// A machine that stood still for so long does not go on as if nothing had been, milliseconds: half of what the guest's watchdogs
/// tolerate.
const STANDSTILL_MS: u64 = 10_000;

/// Compares the clocks of a machine with those of its host.
#[derive(Debug)]
pub(crate) struct HostWatch {
    gauge: Gauge,
    /// When this was last called.
    called_ms: u64,
    /// When QEMU was last looked at, and what it had used.
    looked: (u64, Usage),
    /// How long the machine has stood still without a break.
    still_ms: u64,
}

/// What one look at the machine showed.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Look {
    /// Records for the recording.
    pub(crate) records: Vec<Record>,
    /// The machine stood still for so long that the run is to end: why.
    pub(crate) standstill: Option<String>,
}

impl HostWatch {
    /// Watches a machine from this moment on.
    pub(crate) fn new(gauge: Gauge) -> Self {
        Self::starting(gauge, now_ms(), gauge.read().unwrap_or_default())
    }

    fn starting(gauge: Gauge, now_ms: u64, usage: Usage) -> Self {
        Self { gauge, called_ms: now_ms, looked: (now_ms, usage), still_ms: 0 }
    }

    /// To be called often. `at_once`: QEMU is looked at whenever that was last.
    pub(crate) fn look(&mut self, at_once: bool) -> Look {
        let now_ms = now_ms();
        let wants = at_once || now_ms.saturating_sub(self.looked.0) >= LOOK_MS;
        self.compare(now_ms, if wants { self.gauge.read() } else { None })
    }

    /// Takes the time, and what is known of QEMU if it was looked at.
    fn compare(&mut self, now_ms: u64, usage: Option<Usage>) -> Look {
        let mut look = Look::default();
        let away_ms = now_ms.saturating_sub(self.called_ms);
        self.called_ms = now_ms;
        if away_ms >= PAUSE_MS {
            look.add(now_ms, (away_ms, away_ms), HostCause::RigPaused);
            look.standstill = self.stands_still(away_ms, HostCause::RigPaused);
            self.looked = (now_ms, usage.or_else(|| self.gauge.read()).unwrap_or(self.looked.1));
            return look;
        }
        let Some(usage) = usage else { return look };
        let (looked_ms, before) = self.looked;
        let length_ms = now_ms.saturating_sub(looked_ms);
        self.looked = (now_ms, usage);
        if usage.stopped {
            look.add(now_ms, (length_ms, length_ms), HostCause::QemuStopped);
            look.standstill = self.stands_still(length_ms, HostCause::QemuStopped);
            return look;
        }
        self.still_ms = 0;
        let took_ms = starved_ms(length_ms, &before, &usage);
        if took_ms.saturating_mul(WORTH) >= length_ms && took_ms > 0 {
            look.add(now_ms, (took_ms, length_ms), HostCause::Starved);
        }
        look
    }

    /// The machine has stood still for so much longer; why that is too long, if it is.
    fn stands_still(&mut self, longer_ms: u64, cause: HostCause) -> Option<String> {
        self.still_ms = self.still_ms.saturating_add(longer_ms);
        let (s, tenths) = (self.still_ms / 1000, self.still_ms % 1000 / 100);
        let how = match cause {
            HostCause::QemuStopped => "QEMU's process was stopped (SIGSTOP, or a debugger)",
            _ => "the rig did not run (its process was stopped, or the host was suspended or paused)",
        };
        let words = || format!("the host stood still for {s}.{tenths} s while the guest's clock went on: {how}");
        (self.still_ms >= STANDSTILL_MS).then(words)
    }
}

impl Look {
    fn add(&mut self, now_ms: u64, (took_ms, length_ms): (u64, u64), cause: HostCause) {
        let (kind, a) = (Kind::Mark as u16, Mark::HostTook as u64);
        let host_ns = now_ms.saturating_mul(1_000_000);
        let record =
            Record { lp: NO_LP, kind, a, b: took_ms, c: length_ms, d: cause as u64, host_ns, ..Record::default() };
        self.records.push(record);
    }
}

/// What QEMU's threads did not get of what they wanted, as a part of this time.
fn starved_ms(length_ms: u64, before: &Usage, now: &Usage) -> u64 {
    let ran_ms = now.ran_ms.saturating_sub(before.ran_ms);
    let starved_ms = now.waited_ms.saturating_sub(before.waited_ms);
    let busy_ms = ran_ms.saturating_add(starved_ms);
    if busy_ms.saturating_mul(IDLE) < length_ms {
        return 0;
    }
    length_ms.saturating_mul(starved_ms) / busy_ms.max(1)
}

/// Milliseconds of a clock that goes on while the host is suspended.
fn now_ms() -> u64 {
    let now = clock_gettime(ClockId::CLOCK_BOOTTIME).expect("Linux has had this clock since 2.6.39");
    u64::try_from(now.tv_sec()).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec()).unwrap_or(0) / 1_000_000
}

#[cfg(test)]
mod tests {
    use super::*;
    use nix::unistd::Pid;

    fn watch() -> HostWatch {
        HostWatch::starting(Gauge::new(Pid::this()), 0, Usage::default())
    }

    /// A look each second at a QEMU that ran and waited for so long in each; the results of the looks.
    fn seconds(watch: &mut HostWatch, count: u64, (ran_ms, waited_ms): (u64, u64), stopped: bool) -> Vec<Look> {
        let (begin_ms, before) = watch.looked;
        let look = |n: u64| {
            let (ran_ms, waited_ms) = (before.ran_ms + n * ran_ms, before.waited_ms + n * waited_ms);
            watch.compare(begin_ms + n * 1000, Some(Usage { ran_ms, waited_ms, stopped }))
        };
        (1..=count).map(look).collect()
    }

    fn records(looks: &[Look]) -> Vec<(u64, u64, u64)> {
        looks.iter().flat_map(|look| &look.records).map(|r| (r.b, r.c, r.d)).collect()
    }

    #[test]
    fn a_machine_that_gets_its_cores_or_sleeps_loses_nothing() {
        assert_eq!(records(&seconds(&mut watch(), 5, (1900, 100), false)), []);
        assert_eq!(records(&seconds(&mut watch(), 5, (1, 30), false)), [], "it sleeps");
    }

    #[test]
    fn a_starved_machine_loses_what_its_threads_waited_for() {
        let looks = seconds(&mut watch(), 2, (500, 1500), false);
        assert_eq!(records(&looks), [(750, 1000, HostCause::Starved as u64); 2]);
        let many_threads = seconds(&mut watch(), 1, (2000, 198_000), false);
        assert_eq!(records(&many_threads), [(990, 1000, HostCause::Starved as u64)]);
        assert!(looks.iter().all(|look| look.standstill.is_none()), "it goes on, only slowly");
    }

    #[test]
    fn a_stopped_qemu_ends_the_run_after_a_while() {
        let mut watch = watch();
        let looks = seconds(&mut watch, 10, (0, 0), true);
        assert_eq!(records(&looks), [(1000, 1000, HostCause::QemuStopped as u64); 10]);
        assert!(looks[..9].iter().all(|look| look.standstill.is_none()));
        let why = looks[9].standstill.as_ref().unwrap();
        assert!(why.contains("stood still for 10.0 s") && why.contains("SIGSTOP"), "{why}");
    }

    #[test]
    fn short_stops_are_counted_one_by_one() {
        let mut watch = watch();
        for _ in 0..3 {
            assert!(seconds(&mut watch, 9, (0, 0), true).iter().all(|look| look.standstill.is_none()));
            assert_eq!(records(&seconds(&mut watch, 1, (1000, 0), false)), []);
        }
    }

    #[test]
    fn a_rig_that_did_not_run_knows_it_by_the_clock() {
        let mut watch = watch();
        assert_eq!(watch.compare(1999, None), Look::default());
        let short = watch.compare(5000, None);
        assert_eq!(records(std::slice::from_ref(&short)), [(3001, 3001, HostCause::RigPaused as u64)]);
        assert_eq!(short.standstill, None);
        let long = watch.compare(95_000, None);
        assert!(long.standstill.as_ref().is_some_and(|why| why.contains("the rig did not run")), "{long:?}");
        assert_eq!(watch.looked.0, 95_000, "what QEMU did meanwhile is not counted twice");
    }
}
