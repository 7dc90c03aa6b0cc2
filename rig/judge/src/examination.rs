//! The one loop that judges a recording, while it is made and afterwards: its form first, then the rules.

use crate::finding::{Breach, Finding};
use crate::form::{Form, Malformed};
use crate::timeline::{Decoder, TimelineDigest};
use crate::{Findings, Judge, Livelock, RunEnd, Setup, SubjectNames};
use rig_wire::event::{Kind, Record};

/// A recording under judgement.
#[derive(Debug)]
pub struct Examination {
    decoder: Decoder,
    form: Form,
    judge: Judge,
    digest: TimelineDigest,
    fault: Option<Malformed>,
    /// An invariant broke, and what follows is not judged.
    is_decided: bool,
}

/// What came of an examination.
#[derive(Clone, Debug, PartialEq)]
pub struct Examined {
    /// What the judge found.
    pub findings: Findings,
    /// How the run ended: as it was given, unless the recording cannot be trusted.
    pub end: RunEnd,
    /// The timeline's digest.
    pub digest: String,
}

impl Examined {
    /// A recording that could not be kept: nothing is said of the subject.
    pub fn unkept(cause: String) -> Self {
        let end = RunEnd::Lost { cause };
        let findings = Judge::new(Setup::new(0, SubjectNames::in_tree())).finish(&end);
        Self { findings, end, digest: String::new() }
    }
}

impl Examination {
    /// An examination before the first record.
    pub fn new(setup: Setup) -> Self {
        let decoder = Decoder::new(&setup);
        Self {
            form: Form::new(&setup, &decoder),
            decoder,
            judge: Judge::new(setup),
            digest: TimelineDigest::default(),
            fault: None,
            is_decided: false,
        }
    }

    /// Judges the next record. `line`: the console's line, where the record stands for one and the line is at hand. Returns the
    /// first breach. After a breach or a fault nothing more is judged.
    pub fn record(&mut self, record: &Record, line: Option<&str>) -> Option<Breach> {
        self.digest.add(record);
        if self.fault.is_some() {
            return None;
        }
        if !self.is_decided
            && let Err(fault) = self.form.check(&self.decoder.decode(record))
        {
            self.fault = Some(fault);
            return None;
        }
        let line = line.filter(|_| record.kind == Kind::Console as u16);
        let on_console = line.and_then(|line| self.judge.console_line(line));
        let breach = on_console.or(self.judge.observe(record));
        self.is_decided |= breach.is_some();
        breach
    }

    /// The LP that repeats one failing SEAMCALL without end, if there is one.
    pub fn livelock(&self) -> Option<Livelock> {
        self.judge.livelock()
    }

    /// What is wrong with the recording, if anything is.
    pub fn fault(&self) -> Option<&Malformed> {
        self.fault.as_ref()
    }

    /// Takes note of the run's end in a recording, behind which nothing may stand.
    pub(crate) fn run_end(&mut self, record: &Record) {
        if self.fault.is_none() && !self.is_decided {
            self.fault = self.form.check(&self.decoder.decode(record)).err();
        }
    }

    /// The recording stops without the run's end.
    pub(crate) fn cut_short(&mut self) {
        if !self.is_decided {
            self.fault.get_or_insert_with(|| self.form.without_end());
        }
    }

    /// A line of the console, for which this record stands, is not in the log.
    pub(crate) fn line_missing(&mut self, record: &Record) {
        if !self.is_decided {
            self.fault.get_or_insert_with(|| Malformed::line_missing(record));
        }
    }

    /// Judges what can only be judged at the end.
    pub fn finish(mut self, end: &RunEnd) -> Examined {
        if *end == RunEnd::Finished && !self.is_decided && self.fault.is_none() {
            self.fault = self.form.check_end().err();
        }
        let digest = self.digest.finish();
        let Some(fault) = self.fault else {
            return Examined { findings: self.judge.finish(end), end: end.clone(), digest };
        };
        let end = RunEnd::Lost { cause: fault.to_string() };
        let mut findings = self.judge.finish(&end);
        let reason = fault.to_string();
        for finding in findings.invariants.values_mut() {
            *finding = Finding::NotApplicable { reason: reason.clone() };
        }
        findings.fault = Some(fault);
        Examined { findings, end, digest }
    }
}
