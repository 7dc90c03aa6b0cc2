//! The observer's thread: it writes every record to the events file and shows it to the judge.

use super::alarm::Alarm;
use super::host::HostWatch;
use super::input::{Input, Past};
use super::log_marks;
use super::orders::{OrderWatch, Orders};
use super::progress::{is_mark, is_progress};
use super::tally::HoldTally;
use crate::guest::KernelLine;
use rig_judge::timeline::{EventsError, EventsReader};
use rig_judge::{Breach, Examined, Findings, Fold, Recorder, RunEnd, is_lockup};
use rig_wire::event::{HoldEnd, Kind, Mark, NO_LP, Record, flags};
use rig_wire::ring::Ring;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;
use tokio::sync::watch;

/// How often an idle ring is looked at.
const POLL: Duration = Duration::from_millis(1);
/// Records taken at once, before anything else is looked at.
const BATCH: usize = 4096;

/// What came of a run's events.
#[derive(Debug)]
pub(crate) struct Observed {
    /// How the run ended: as the caller said, unless events were lost.
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

/// The reader of the ring, in a thread of its own.
pub(super) struct Reader {
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
    /// A reader for a machine with so many LPs. The counters and the alarm are shared with the handle.
    pub(super) fn new(
        ring: Ring,
        recorder: Recorder,
        alarm: watch::Sender<Option<Alarm>>,
        (progress, tally): (Arc<AtomicU64>, Arc<HoldTally>),
        lps: u16,
        orders: Option<Arc<Orders>>,
    ) -> Self {
        Self {
            ring,
            recorder,
            alarm,
            progress,
            last: vec![None; usize::from(lps)],
            state: vec![None; usize::from(lps)],
            tally,
            orders: orders.map(|orders| (OrderWatch::default(), orders)),
            fold: Fold::new(lps),
            host: None,
        }
    }

    /// Judges and keeps what was recorded before, as if it came now.
    pub(super) fn take_over(&mut self, past: &Past) -> Result<(), EventsError> {
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

    pub(super) fn run(mut self, inputs: &Receiver<Input>) -> Observed {
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

    /// Nothing to do for a moment: the records so far are flushed to the file, so that they survive the death of the rig.
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
        let look = host.look(at_once);
        for record in look.records {
            self.record(&record);
        }
        if let Some(cause) = look.standstill {
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

    /// Counts a record. This must come after the record was judged, because a session that reads the count relies on that.
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
        if let Some(update) = log_marks::update_of_end_mark(&line.text) {
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
