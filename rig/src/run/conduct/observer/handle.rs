//! The running observer, as the rest of the rig sees it.

use super::alarm::Alarm;
use super::input::{Input, Lines, Past};
use super::orders::Orders;
use super::reader::{Observed, Reader};
use super::tally::HoldTally;
use crate::machine::Gauge;
use rig_judge::timeline::EventsError;
use rig_judge::{Recorder, RunEnd, Setup};
use rig_wire::ring::Ring;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use tokio::sync::watch;

/// Records that the ring holds: a few milliseconds of the worst storm (every CPU spinning on the watched state).
pub(crate) const RING_CAPACITY: u64 = 1 << 18;

/// The running observer.
#[derive(Debug)]
pub(crate) struct Observer {
    input: Sender<Input>,
    progress: Arc<AtomicU64>,
    alarm: watch::Receiver<Option<Alarm>>,
    thread: JoinHandle<Observed>,
    tally: Arc<HoldTally>,
}

impl Observer {
    /// Starts reading the ring into the file `events` and the judge, after what is known from before; lines of the
    /// kernel's log go to the file `log`.
    pub(crate) fn start(
        ring: Ring,
        events: &Path,
        log: &Path,
        setup: Setup,
        past: Option<&Past>,
        orders: Option<Arc<Orders>>,
    ) -> Result<Self, EventsError> {
        let (input, inputs) = mpsc::channel();
        let (raise, alarm) = watch::channel(None);
        let (progress, tally) = (Arc::new(AtomicU64::new(0)), Arc::new(HoldTally::default()));
        let (lps, recorder) = (setup.lps, Recorder::create(events, log, setup)?);
        let counters = (Arc::clone(&progress), Arc::clone(&tally));
        let mut reader = Reader::new(ring, recorder, raise, counters, lps, orders);
        if let Some(past) = past {
            reader.take_over(past)?;
        }
        let thread = thread::Builder::new().name("observer".into()).spawn(move || reader.run(&inputs));
        let thread = thread.map_err(|source| EventsError::Io { path: events.to_owned(), source })?;
        Ok(Self { input, progress, alarm, thread, tally })
    }

    /// What was counted so far.
    pub(crate) fn tally(&self) -> &HoldTally {
        &self.tally
    }

    /// A way for the lines of the kernel's log.
    pub(crate) fn lines(&self) -> Lines {
        Lines(self.input.clone())
    }

    /// Records from now on what the host takes from this machine's time.
    pub(crate) fn watch_host(&self, gauge: Gauge) {
        // An observer that has ended records nothing.
        let _ = self.input.send(Input::Host(gauge));
    }

    /// Events so far that show progress of the guest.
    pub(crate) fn progress(&self) -> u64 {
        self.progress.load(Ordering::Relaxed)
    }

    /// Waits for the first alarm; never ends when there is none.
    pub(crate) async fn alarm(&self) -> Alarm {
        let mut alarm = self.alarm.clone();
        match alarm.wait_for(Option::is_some).await.map(|a| a.clone()) {
            Ok(Some(alarm)) => alarm,
            _ => std::future::pending().await,
        }
    }

    /// The first alarm, if there was one.
    pub(crate) fn alarmed(&self) -> Option<Alarm> {
        self.alarm.borrow().clone()
    }

    /// Reads what is left in the ring and judges the end. The machine must be gone.
    pub(crate) fn finish(self, end: RunEnd) -> Observed {
        let _ = self.input.send(Input::Finish(end));
        match self.thread.join() {
            Ok(observed) => observed,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::guest::KernelLine;
    use rig_judge::SubjectNames;
    use rig_wire::event::{Kind, Record};
    use std::time::Duration;

    fn observer(capacity: u64) -> (tempfile::TempDir, Ring, Observer) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ring");
        let ours = Ring::create(&path, capacity).unwrap();
        let (events, log) = (dir.path().join("events"), dir.path().join("log"));
        let theirs = Ring::open(&path).unwrap();
        let setup = Setup::new(4, SubjectNames::in_tree());
        (dir, theirs, Observer::start(ours, &events, &log, setup, None, None).unwrap())
    }

    fn seamcall(lp: u16) -> Record {
        Record { lp, kind: Kind::ModuleState as u16, a: 5, b: 0, ..Record::default() }
    }

    #[test]
    fn every_record_reaches_the_file() {
        let (dir, ring, observer) = observer(64);
        for lp in 0..4 {
            ring.push(&seamcall(lp));
        }
        observer.lines().line(KernelLine { time_us: 7, text: "hello".into() });
        let end = observer.finish(RunEnd::Finished);
        assert_eq!(end.findings.events, 4, "a line of the log is no event of the guest");
        let checked = rig_judge::check(&dir.path().join("events"), Some(&dir.path().join("log"))).unwrap();
        assert_eq!(checked.digest, end.digest);
        assert_eq!((checked.findings, checked.end), (end.findings, RunEnd::Finished));
        assert!(end.last[3].is_some());
        assert_eq!(std::fs::read_to_string(dir.path().join("log")).unwrap(), "[    0.000007] hello\n");
    }

    #[test]
    fn what_was_recorded_before_is_judged_and_kept() {
        let (dir, ring, observer) = observer(64);
        ring.push(&seamcall(0));
        observer.lines().line(KernelLine { time_us: 7, text: "WARNING: CPU: 0 PID: 1 at x".into() });
        let first = observer.finish(RunEnd::Stopped);
        let past = Past { events: dir.path().join("events"), log: dir.path().join("log") };
        let (again, events) = (dir.path().join("ring2"), dir.path().join("events2"));
        let log = dir.path().join("log2");
        let setup = Setup::new(4, SubjectNames::in_tree());
        let ring = Ring::create(&again, 64).unwrap();
        let second = Observer::start(ring, &events, &log, setup, Some(&past), None).unwrap();
        Ring::open(&again).unwrap().push(&seamcall(1));
        let second = second.finish(RunEnd::Stopped);
        assert_eq!(second.findings.invariants, first.findings.invariants);
        assert!(!second.findings.breaches().is_empty(), "the warning of the boot counts");
        assert_eq!(second.findings.events, 2);
        let logs = ["log", "log2"].map(|name| std::fs::read_to_string(dir.path().join(name)).unwrap());
        assert_eq!(logs[0], logs[1]);
    }

    #[test]
    fn records_are_in_the_file_before_the_end() {
        let (dir, ring, observer) = observer(64);
        ring.push(&seamcall(0));
        let start = std::time::Instant::now();
        let checked = loop {
            let checked = rig_judge::check(&dir.path().join("events"), None);
            match checked {
                Ok(checked) if checked.findings.events == 1 => break checked,
                _ => assert!(start.elapsed() < Duration::from_secs(10), "the record is not written out"),
            }
        };
        assert!(checked.cut_short);
        drop(observer);
    }

    #[test]
    fn loss_raises_an_alarm() {
        let (_dir, ring, observer) = observer(4);
        while ring.lost() == 0 {
            ring.push(&seamcall(0));
        }
        ring.push(&seamcall(0));
        let start = std::time::Instant::now();
        while observer.alarmed().is_none() && start.elapsed() < Duration::from_secs(10) {
            ring.push(&seamcall(0));
        }
        assert!(matches!(observer.alarmed(), Some(Alarm::Lost(cause)) if cause.contains("lost")));
    }

    /// What the emulator could not follow ends the run, whatever else was seen.
    #[test]
    fn a_record_that_cannot_be_ends_the_run() {
        let (_dir, ring, observer) = observer(64);
        ring.push(&Record { kind: Kind::Unknown as u16, a: 0x1000, ..Record::default() });
        let Observed { end, findings, .. } = observer.finish(RunEnd::Finished);
        let RunEnd::Lost { cause } = end else { panic!("{end:?}") };
        assert!(cause.contains("record #0 (CPU 0)") && cause.contains("0x1000"), "{cause}");
        assert!(findings.fault.is_some());
    }

    /// A log that is shorter than its recording is not passed over.
    #[test]
    fn a_past_without_its_lines_is_refused() {
        let (dir, ring, observer) = observer(64);
        observer.lines().line(KernelLine { time_us: 7, text: "hello".into() });
        drop((ring, observer.finish(RunEnd::Stopped)));
        std::fs::write(dir.path().join("log"), "").unwrap();
        let past = Past { events: dir.path().join("events"), log: dir.path().join("log") };
        let ring = Ring::create(&dir.path().join("ring2"), 64).unwrap();
        let (events, log) = (dir.path().join("events2"), dir.path().join("log2"));
        let setup = Setup::new(4, SubjectNames::in_tree());
        let refused = Observer::start(ring, &events, &log, setup, Some(&past), None).unwrap_err();
        assert!(matches!(refused, EventsError::LineMissing { .. }), "{refused}");
    }

    /// The emulator may be killed between drawing a place in the ring and filling it.
    #[test]
    fn records_behind_a_hole_are_missed() {
        let (_dir, ring, observer) = observer(64);
        ring.push(&seamcall(0));
        ring.leave_hole();
        ring.push(&seamcall(1));
        let RunEnd::Lost { cause } = observer.finish(RunEnd::Finished).end else { panic!("the hole is not noticed") };
        assert!(cause.contains("2 events were not recorded"), "{cause}");
    }

    #[test]
    fn a_livelock_raises_an_alarm_and_leaves_little() {
        // The ring has room for all of them: 5.6 s of the guest's time.
        let (dir, ring, observer) = observer(1 << 18);
        for n in 1..=70_000 {
            let enter = Record { kind: Kind::SeamcallEnter as u16, a: 69, guest_ns: n * 80_000, ..Record::default() };
            ring.push(&enter);
            ring.push(&Record { kind: Kind::SeamcallExit as u16, b: 0x8000_0202_0000_0000, ..enter });
        }
        let start = std::time::Instant::now();
        while observer.alarmed().is_none() {
            assert!(start.elapsed() < Duration::from_secs(60), "the livelock is not noticed");
            thread::yield_now();
        }
        assert!(matches!(observer.alarmed(), Some(Alarm::Hung(what)) if what.contains("SYS.DISABLE")));
        let end = observer.finish(RunEnd::Hung { what: String::new() });
        assert_eq!(end.findings.breaches().len(), 1);
        assert!(std::fs::metadata(dir.path().join("events")).unwrap().len() < 100_000);
    }
}
