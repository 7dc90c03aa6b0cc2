//! The reader of the event ring: it writes every record to the events file and shows it to the judge, while the machine
//! runs. It has a thread of its own, so that a slow disk or a busy rig cannot make the ring overflow unnoticed.

use super::host::HostWatch;
use super::log_marks;
use super::orders::{OrderWatch, Orders};
use crate::guest::KernelLine;
use crate::machine::Gauge;
use rig_judge::timeline::{EventsError, EventsReader};
use rig_judge::{Breach, Examined, Findings, Fold, Recorder, RunEnd, Setup, is_lockup};
use rig_wire::event::{HoldEnd, Kind, Mark, NO_LP, Record, flags};
use rig_wire::ring::Ring;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;
use tokio::sync::watch;

/// Records that the ring holds: a few milliseconds of the worst storm (every CPU spinning on the watched state).
pub(crate) const RING_CAPACITY: u64 = 1 << 18;
/// How often an idle ring is looked at.
const POLL: Duration = Duration::from_millis(1);
/// Records taken at once, before anything else is looked at.
const BATCH: usize = 4096;

/// Why the observer wants the run to end.
#[derive(Clone, Debug)]
pub(crate) enum Alarm {
    /// An invariant is broken.
    Breach(Box<Breach>),
    /// Events were lost, or cannot be kept, or the host took the machine's time: nothing can be said of the subject.
    Lost(String),
    /// The guest does one thing without end.
    Hung(String),
}

/// What came of a run's events.
#[derive(Debug)]
pub(crate) struct Observed {
    /// How the run ended: as it was told, unless events were lost.
    pub(crate) end: RunEnd,
    /// What the judge found.
    pub(crate) findings: Findings,
    /// Digest of all that was recorded.
    pub(crate) digest: String,
    /// The last record of each LP.
    pub(crate) last: Vec<Option<Record>>,
    /// The state that each LP last loaded from the first watched word.
    pub(crate) state: Vec<Option<u64>>,
}

#[derive(Debug)]
enum Input {
    Line(KernelLine),
    Host(Gauge),
    Finish(RunEnd),
}

/// Brings the lines of the kernel's log to the judge.
#[derive(Clone, Debug)]
pub(crate) struct Lines(Sender<Input>);

impl Lines {
    /// Shows the judge a line and keeps it in the log.
    pub(crate) fn line(&self, line: KernelLine) {
        // Lines that come after the end are of no use to anybody.
        let _ = self.0.send(Input::Line(line));
    }
}

/// What was recorded before the machine was saved from which this one goes on.
#[derive(Clone, Debug)]
pub(crate) struct Past {
    /// Events file.
    pub(crate) events: PathBuf,
    /// Lines of the kernel's log, to which the events refer.
    pub(crate) log: PathBuf,
}

/// The running observer.
#[derive(Debug)]
pub(crate) struct Observer {
    input: Sender<Input>,
    progress: Arc<AtomicU64>,
    alarm: watch::Receiver<Option<Alarm>>,
    thread: JoinHandle<Observed>,
    tally: Arc<HoldTally>,
}

/// Counts of what was judged so far.
#[derive(Debug, Default)]
pub(crate) struct HoldTally {
    /// Updates whose end was judged.
    pub(crate) updates: AtomicU64,
    /// The last update whose end is marked in the kernel's log, up to which the log was judged.
    pub(crate) log_marks: AtomicU64,
    /// Holds that began.
    pub(crate) begun: AtomicU64,
    /// Holds that ended because their condition came true.
    pub(crate) satisfied: AtomicU64,
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
        let (alarm_in, alarm) = watch::channel(None);
        let progress = Arc::new(AtomicU64::new(0));
        let tally = Arc::new(HoldTally::default());
        let lps = usize::from(setup.lps);
        let mut reader = Reader {
            ring,
            recorder: Recorder::create(events, log, setup)?,
            alarm: alarm_in,
            progress: Arc::clone(&progress),
            last: vec![None; lps],
            state: vec![None; lps],
            tally: Arc::clone(&tally),
            orders: orders.map(|orders| (OrderWatch::default(), orders)),
            fold: Fold::new(lps as u16),
            host: None,
        };
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

struct Reader {
    ring: Ring,
    recorder: Recorder,
    alarm: watch::Sender<Option<Alarm>>,
    progress: Arc<AtomicU64>,
    last: Vec<Option<Record>>,
    state: Vec<Option<u64>>,
    tally: Arc<HoldTally>,
    orders: Option<(OrderWatch, Arc<Orders>)>,
    fold: Fold,
    host: Option<HostWatch>,
}

impl Reader {
    /// Judges and keeps what was recorded before, as if it came now.
    fn take_over(&mut self, past: &Past) -> Result<(), EventsError> {
        let io = |source| EventsError::Io { path: past.log.clone(), source };
        let text = std::fs::read(&past.log).map_err(io)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        let mut lines = text.lines();
        for record in EventsReader::open(&past.events)? {
            let record = record?;
            let is = |kind: Kind| record.kind == kind as u16;
            if is(Kind::Console) {
                let line = lines.next().ok_or_else(|| EventsError::LineMissing { path: past.log.clone() })?;
                self.line(&KernelLine::parse_console(line));
            } else if !is_mark(&record, Mark::RunEnd) && !is_mark(&record, Mark::HostTook) {
                // The host's clock began anew since; and a boot in which it took much is not kept.
                self.record(&record);
            }
        }
        Ok(())
    }

    fn run(mut self, inputs: &Receiver<Input>) -> Observed {
        loop {
            let full = self.drain();
            self.look_at_host(false);
            match inputs.try_recv() {
                Ok(Input::Host(gauge)) => self.host = Some(HostWatch::new(gauge)),
                Ok(Input::Line(line)) => self.line(&line),
                Ok(Input::Finish(end)) => return self.finish(&end),
                Err(mpsc::TryRecvError::Disconnected) => return self.finish(&RunEnd::Stopped),
                Err(mpsc::TryRecvError::Empty) if full => {}
                Err(mpsc::TryRecvError::Empty) => self.idle(),
            }
        }
    }

    /// Nothing to do for a moment: what was seen so far is made to survive the rig's death.
    fn idle(&mut self) {
        if let Err(e) = self.recorder.flush() {
            self.raise(Alarm::Lost(format!("the events or the kernel's log cannot be kept: {e}")));
        }
        thread::sleep(POLL);
    }

    /// Takes a batch from the ring; true when there may be more.
    fn drain(&mut self) -> bool {
        for _ in 0..BATCH {
            let Some(record) = self.ring.pop() else { return false };
            for record in self.fold.push(&record) {
                self.record(&record);
                if is_mark(&record, Mark::Repeated) {
                    self.look_for_livelock();
                }
            }
        }
        true
    }

    /// To be called when an LP is known to have repeated a call many times.
    fn look_for_livelock(&self) {
        if let Some(livelock) = self.recorder.livelock() {
            self.raise(Alarm::Hung(livelock.to_string()));
        }
    }

    /// Records what the host took, so that it stands before whatever the guest says of it.
    fn look_at_host(&mut self, at_once: bool) {
        let Some(host) = &mut self.host else { return };
        let seen = host.look(at_once);
        for record in seen.records {
            self.record(&record);
        }
        if let Some(cause) = seen.standstill {
            self.raise(Alarm::Lost(cause));
        }
    }

    fn record(&mut self, record: &Record) {
        if self.ring.lost() > 0 {
            self.raise(Alarm::Lost(format!("{} events were lost: the ring overflowed", self.ring.lost())));
        }
        self.remember(record);
        let judged = self.recorder.record(record);
        self.heed(judged);
        self.count(record);
    }

    /// Raises what the judge says of the last record.
    fn heed(&self, judged: Result<Option<Breach>, EventsError>) {
        match judged {
            Ok(Some(breach)) => self.raise(Alarm::Breach(Box::new(breach))),
            Ok(None) => {}
            Err(e) => self.raise(Alarm::Lost(format!("the events or the kernel's log cannot be kept: {e}"))),
        }
        if let Some(fault) = self.recorder.fault() {
            self.raise(Alarm::Lost(fault.to_string()));
        }
    }

    /// Comes last: who sees an update counted knows that it was judged.
    fn count(&mut self, record: &Record) {
        if let Some((watch, orders)) = &mut self.orders {
            watch.observe(record, orders);
        }
        let counter = match Kind::from_u16(record.kind) {
            Some(Kind::Mark) if record.a == Mark::UpdateEnd as u64 => &self.tally.updates,
            Some(Kind::HoldBegin) => &self.tally.begun,
            Some(Kind::HoldEnd) if record.b == HoldEnd::Satisfied as u64 => &self.tally.satisfied,
            _ => return,
        };
        counter.fetch_add(1, Ordering::Release);
    }

    fn remember(&mut self, record: &Record) {
        if is_progress(record) {
            self.progress.fetch_add(1, Ordering::Relaxed);
        }
        let lp = usize::from(record.lp);
        if record.lp == NO_LP || lp >= self.last.len() {
            return;
        }
        self.last[lp] = Some(*record);
        if record.kind == Kind::Watch as u16 && record.a == 0 && record.flags & flags::STORE == 0 {
            self.state[lp] = Some(record.b);
        }
    }

    fn line(&mut self, line: &KernelLine) {
        let text = line.to_string();
        if is_lockup(&text) {
            self.look_at_host(true);
        }
        self.progress.fetch_add(1, Ordering::Relaxed);
        let judged = self.recorder.console_line(&text, Some(line.time_us));
        self.heed(judged);
        if let Some(update) = log_marks::ended(&line.text) {
            self.tally.log_marks.store(update, Ordering::Release);
        }
    }

    fn raise(&self, alarm: Alarm) {
        self.alarm.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(alarm);
            is_first
        });
    }

    fn finish(mut self, end: &RunEnd) -> Observed {
        while self.drain() {}
        for record in self.fold.finish() {
            self.record(&record);
        }
        if let Some(cause) = self.left_behind() {
            self.raise(Alarm::Lost(cause));
        }
        let lost = |alarm: &Option<Alarm>| match alarm {
            Some(Alarm::Lost(cause)) => Some(RunEnd::Lost { cause: cause.clone() }),
            _ => None,
        };
        let end = lost(&self.alarm.borrow()).unwrap_or_else(|| end.clone());
        let Examined { findings, end, digest } = match self.recorder.finish(&end) {
            Ok(examined) => examined,
            Err(e) => Examined::unkept(format!("the events cannot be kept: {e}")),
        };
        Observed { end, findings, digest, last: self.last, state: self.state }
    }

    /// Records behind a hole: a writer that was killed between drawing its place and filling it.
    fn left_behind(&self) -> Option<String> {
        let (appended, taken) = (self.ring.appended(), self.ring.consumed());
        (appended != taken).then(|| {
            format!("{} events were not recorded: the emulator ended while it recorded event {taken}", appended - taken)
        })
    }
}

fn is_mark(record: &Record, mark: Mark) -> bool {
    record.kind == Kind::Mark as u16 && record.a == mark as u64
}

/// Whether a record shows that the guest gets on, rather than that it waits: loads of a watched word are how CPUs spin,
/// and interrupts come to a guest that does nothing.
fn is_progress(record: &Record) -> bool {
    match Kind::from_u16(record.kind) {
        Some(Kind::Watch) => record.flags & flags::STORE != 0,
        // The one says that an LP repeats itself, the other speaks of the host.
        Some(Kind::Mark) => !is_mark(record, Mark::Repeated) && !is_mark(record, Mark::HostTook),
        Some(Kind::Interrupt | Kind::Exception | Kind::Idle | Kind::HoldBegin | Kind::HoldEnd) | None => false,
        Some(_) => true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_judge::SubjectNames;

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

    #[test]
    fn spinning_is_no_progress() {
        let load = Record { kind: Kind::Watch as u16, ..Record::default() };
        let store = Record { flags: flags::STORE, ..load };
        assert!(!is_progress(&load));
        assert!(is_progress(&store));
        assert!(!is_progress(&Record { kind: 999, ..load }));
    }
}
