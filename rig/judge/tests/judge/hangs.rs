//! Livelocks, and lockups that the host explains: judged alike while the run is under way and from its recording.

use rig_judge::synthetic::Synthetic;
use rig_judge::{Facts, Findings, Fold, Invariant, Outcome, Recorder, RunEnd, Standing, Verdict, check};
use rig_wire::event::{HostCause, Kind, Mark, NO_LP, Record};
use std::path::Path;

const SYS_DISABLE: u64 = 69;
const SYS_BUSY: u64 = 0x8000_0202_0000_0000;
const LOCKUP: &str = "[   38.0] watchdog: BUG: soft lockup - CPU#2 stuck for 26s! [migration/2:24]";

/// A plain run that is recorded, and more that happens behind it.
struct Recording {
    dir: tempfile::TempDir,
    recorder: Recorder,
    fold: Fold,
    now_ns: u64,
}

impl Recording {
    fn of(run: &Synthetic) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let (events, console) = (dir.path().join("events"), dir.path().join("console"));
        let mut recorder = Recorder::create(&events, &console, run.setup.clone()).unwrap();
        for record in &run.records {
            match run.console.get(record.a as usize).filter(|_| record.kind == Kind::Console as u16) {
                Some(line) => recorder.console_line(line, Some(record.guest_ns / 1000)).unwrap(),
                None => recorder.record(record).unwrap(),
            };
        }
        let now_ns = run.records.last().map_or(0, |last| last.guest_ns);
        Self { dir, recorder, fold: Fold::new(run.setup.lps), now_ns }
    }

    /// CPU 1 asks the module to end, which answers this each time, every four microseconds.
    fn calls(&mut self, count: u64, status: u64) {
        for _ in 0..count {
            self.now_ns += 2000;
            let enter = Record {
                lp: 1,
                kind: Kind::SeamcallEnter as u16,
                a: SYS_DISABLE,
                guest_ns: self.now_ns,
                ..Record::default()
            };
            let exit = Record { kind: Kind::SeamcallExit as u16, b: status, guest_ns: self.now_ns + 2000, ..enter };
            self.now_ns += 2000;
            for record in [enter, exit].iter().flat_map(|record| self.fold.push(record)) {
                self.recorder.record(&record).unwrap();
            }
        }
    }

    /// The host takes so many seconds of each ten, for a minute.
    fn host_takes(&mut self, taken_s: u64) {
        for tens in 1..=6 {
            let mark = Record {
                lp: NO_LP,
                kind: Kind::Mark as u16,
                a: Mark::HostTook as u64,
                b: taken_s * 1000,
                c: 10_000,
                d: HostCause::Starved as u64,
                host_ns: tens * 10_000_000_000,
                ..Record::default()
            };
            self.recorder.record(&mark).unwrap();
        }
    }

    fn line(&mut self, line: &str) {
        self.recorder.console_line(line, None).unwrap();
    }

    /// The findings, after the recording was judged alike.
    fn end(mut self, end: &RunEnd) -> (Findings, u64) {
        for record in self.fold.finish() {
            self.recorder.record(&record).unwrap();
        }
        let file = |name: &str| self.dir.path().join(name);
        let findings = self.recorder.finish(end).unwrap().findings;
        let checked = check(&file("events"), Some(&file("console"))).unwrap();
        assert_eq!(checked.findings, findings);
        (findings, size(&file("events")))
    }
}

fn size(path: &Path) -> u64 {
    std::fs::metadata(path).unwrap().len()
}

fn verdict(findings: &Findings, end: &RunEnd) -> Verdict {
    Verdict::new(Facts { updates: findings.updates, ..Facts::default() }, findings, end)
}

#[test]
fn a_livelock_is_small_and_named() {
    let mut run = Recording::of(&Synthetic::plain(2, 1));
    assert_eq!(run.recorder.livelock(), None);
    run.calls(1_400_000, SYS_BUSY);
    let livelock = run.recorder.livelock().expect("5.6 s of nothing else");
    let end = RunEnd::Hung { what: livelock.to_string() };
    let (findings, bytes) = run.end(&end);
    assert!(bytes < 200_000, "{bytes}");
    let verdict = verdict(&findings, &end);
    assert_eq!(verdict.verdict, Outcome::Hung, "{:?}", verdict.reason);
    let breach = &verdict.breaches[0];
    assert_eq!((breach.invariant, breach.lps.as_slice()), (Invariant::Progress, &[1][..]));
    for part in ["CPU 1", "SYS.DISABLE", "1400000 calls", "SYS_BUSY"] {
        assert!(breach.seen.contains(part), "{}", breach.seen);
    }
}

#[test]
fn retries_that_end_are_no_livelock() {
    let mut run = Recording::of(&Synthetic::plain(2, 1));
    run.calls(1_000_000, SYS_BUSY);
    run.calls(1, 0);
    assert_eq!(run.recorder.livelock(), None);
    let (findings, _) = run.end(&RunEnd::Finished);
    assert_eq!(findings.invariants[&Invariant::Progress].standing(), Standing::Held);
    assert_eq!(verdict(&findings, &RunEnd::Finished).verdict, Outcome::Passed);
}

#[test]
fn a_lockup_that_the_host_explains_is_the_rigs_trouble() {
    let mut run = Recording::of(&Synthetic::plain(4, 1));
    run.host_takes(9);
    run.line(LOCKUP);
    let (findings, _) = run.end(&RunEnd::Finished);
    assert_eq!(findings.invariants[&Invariant::QuietKernel].standing(), Standing::NotApplicable);
    assert_eq!(findings.invariants[&Invariant::Lockstep].standing(), Standing::Held);
    let verdict = verdict(&findings, &RunEnd::Finished);
    assert_eq!((verdict.verdict, verdict.exit_code), (Outcome::RigError, 5));
    let reason = verdict.reason.unwrap();
    assert!(reason.contains("the host took 23.4 s") && reason.contains("CPU#2"), "{reason}");
}

#[test]
fn a_lockup_that_the_host_does_not_explain_breaks_quiet_kernel() {
    for host_takes_s in [None, Some(4)] {
        let mut run = Recording::of(&Synthetic::plain(4, 1));
        if let Some(s) = host_takes_s {
            run.host_takes(s);
        }
        run.line(LOCKUP);
        let (findings, _) = run.end(&RunEnd::Stopped);
        assert_eq!(findings.invariants[&Invariant::QuietKernel].standing(), Standing::Broken);
        assert_eq!(verdict(&findings, &RunEnd::Stopped).verdict, Outcome::Failed);
    }
}

#[test]
fn a_hang_stays_a_hang_whatever_the_host_took() {
    let mut run = Recording::of(&Synthetic::plain(4, 1));
    run.host_takes(9);
    run.line(LOCKUP);
    let end = RunEnd::Hung { what: "no progress".into() };
    let (findings, _) = run.end(&end);
    assert_eq!(verdict(&findings, &end).verdict, Outcome::Hung);
}

#[test]
fn a_crash_with_the_signs_of_the_emulators_defects_is_the_rigs_trouble() {
    for (line, outcome) in [
        ("[    3.0] Oops: int3: 0000 [#1] SMP", Outcome::RigError),
        ("[    3.0] Oops: general protection fault: 0000 [#1] SMP", Outcome::GuestCrashed),
    ] {
        let mut run = Recording::of(&Synthetic::plain(4, 1));
        run.line(line);
        let end = RunEnd::Crashed { what: line.into() };
        let (findings, _) = run.end(&end);
        assert_eq!(verdict(&findings, &end).verdict, outcome, "{line}");
    }
}
