//! A recorded timeline is judged as it was while the run was under way, and a damaged file says so.

use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::{
    Decoder, EventsError, EventsReader, EventsWriter, Leaf, Strictness, TimelineDigest, first_difference,
};
use rig_judge::{Findings, Recorder, RunEnd, Setup, Standing, Step, SubjectNames, check};
use rig_wire::event::{Kind, NO_LP, Record};
use rstest::rstest;
use std::path::{Path, PathBuf};

struct Recording {
    dir: tempfile::TempDir,
}

impl Recording {
    fn events(&self) -> PathBuf {
        self.dir.path().join("events.bin")
    }

    fn console(&self) -> PathBuf {
        self.dir.path().join("console.txt")
    }
}

/// Records a run as the rig does. It stops a while after the first breach.
fn record(run: &Synthetic) -> (Recording, Findings) {
    let recording = Recording { dir: tempfile::tempdir().unwrap() };
    let mut recorder = Recorder::create(&recording.events(), &recording.console(), run.setup.clone()).unwrap();
    let mut breached = false;
    for record in &run.records {
        let breach = if record.kind == Kind::Console as u16 {
            recorder.console_line(&run.console[record.a as usize], Some(record.guest_ns / 1000)).unwrap()
        } else {
            recorder.record(record).unwrap()
        };
        breached |= breach.is_some();
    }
    let end = if breached { RunEnd::Stopped } else { run.end.clone() };
    (recording, recorder.finish(&end).unwrap().findings)
}

#[rstest]
#[case::plain(Synthetic::plain(4, 2))]
#[case::load(Synthetic::new(8).boot().tds(2).load().update().update())]
#[case::early(Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update())]
#[case::interrupts(Synthetic::new(4).boot().twist(Twist::InterruptsOn(Step::CpuInit)).update())]
#[case::warning(Synthetic::new(4).boot().twist(Twist::Warning).update())]
#[case::hung(Synthetic::new(4).boot().twist(Twist::NeverReturns(Step::CpuInstall)).update())]
#[case::failed(Synthetic::new(4).boot().fault(Leaf::INSTALL, 1, 5).update())]
fn offline_judges_as_online(#[case] run: Synthetic) {
    let (recording, online) = record(&run);
    let checked = check(&recording.events(), Some(&recording.console())).unwrap();
    assert_eq!(checked.findings, online);
    assert!(!checked.cut_short);
}

/// A log that lacks lines cannot show that the kernel was quiet.
#[test]
fn a_log_that_was_cut_is_no_quiet_kernel() {
    let run = Synthetic::plain(2, 1);
    let (recording, _) = record(&run);
    let log = std::fs::read_to_string(recording.console()).unwrap();
    let (all_but_the_last, _) = log.trim_end().rsplit_once('\n').unwrap_or(("", &log));
    std::fs::write(recording.console(), all_but_the_last).unwrap();
    let checked = check(&recording.events(), Some(&recording.console())).unwrap();
    let fault = checked.findings.fault.expect("a fault").to_string();
    assert!(fault.contains("the kernel's log has fewer than"), "{fault}");
    assert!(matches!(checked.end, RunEnd::Lost { .. }));
    assert!(check(&recording.events(), None).unwrap().findings.fault.is_none());
}

#[test]
fn cannot_read_what_is_no_timeline() {
    let (recording, _) = record(&Synthetic::plain(1, 1));
    let whole = std::fs::read(recording.events()).unwrap();
    let path = recording.dir.path().join("other");
    let open = |bytes: &[u8]| {
        std::fs::write(&path, bytes).unwrap();
        EventsReader::open(&path).map(|_| ()).unwrap_err()
    };
    assert!(matches!(open(b"short"), EventsError::Foreign { .. }));
    assert!(matches!(open(&[b'x'; 4096]), EventsError::Foreign { .. }));
    assert!(matches!(open(&whole[..100]), EventsError::Header { .. }));
    let altered = |at: usize, byte: u8| {
        let mut bytes = whole.clone();
        bytes[at] = byte;
        open(&bytes)
    };
    assert!(matches!(altered(8, 9), EventsError::Version { found: 9, .. }));
    assert!(matches!(altered(15, 0xff), EventsError::Header { .. }));
    assert!(matches!(altered(16, b'?'), EventsError::Header { .. }));
    assert!(matches!(EventsReader::open(Path::new("/nowhere/at/all")).unwrap_err(), EventsError::Io { .. }));
}

/// A setup of 16 MiB may be, so that its file is only cut short; no memory is set aside for a larger one.
#[test]
fn a_file_may_not_claim_a_setup_of_any_size() {
    let (recording, _) = record(&Synthetic::plain(1, 1));
    let mut bytes = std::fs::read(recording.events()).unwrap();
    for (size, cause) in [(16 << 20, "it is cut short"), ((16 << 20) + 1, "it claims a setup of 16777217 bytes")] {
        bytes[12..16].copy_from_slice(&u32::to_le_bytes(size));
        std::fs::write(recording.events(), &bytes).unwrap();
        let error = EventsReader::open(&recording.events()).unwrap_err();
        assert!(matches!(error, EventsError::Header { .. }) && error.to_string().contains(cause), "{error}");
    }
}

#[test]
fn a_truncated_timeline_is_judged_as_far_as_it_goes() {
    let (recording, online) = record(&Synthetic::plain(2, 1));
    let all = EventsReader::open(&recording.events()).unwrap().count() as u64;
    let bytes = std::fs::read(recording.events()).unwrap();
    std::fs::write(recording.events(), &bytes[..bytes.len() - 100]).unwrap();
    let last = EventsReader::open(&recording.events()).unwrap().last().unwrap();
    // Of the last two records one is gone, and half of the other.
    let whole = all - 2;
    assert!(matches!(last, Err(EventsError::Truncated { records, .. }) if records == whole), "{last:?}, of {whole}");
    let checked = check(&recording.events(), Some(&recording.console())).unwrap();
    assert!(checked.cut_short);
    assert!(checked.findings.events < online.events && checked.findings.breaches().is_empty());
    // Nothing of it counts as held.
    let fault = checked.findings.fault.as_ref().unwrap().to_string();
    assert!(fault.contains("without the run's end"), "{fault}");
    assert!(matches!(checked.end, RunEnd::Lost { .. }));
    assert!(checked.findings.invariants.values().all(|f| f.standing() == Standing::NotApplicable));
}

/// What was flushed survives the death of the rig: records and lines.
#[test]
fn what_was_flushed_is_in_both_files() {
    let recording = Recording { dir: tempfile::tempdir().unwrap() };
    let setup = Setup::new(2, SubjectNames::in_tree());
    let mut recorder = Recorder::create(&recording.events(), &recording.console(), setup).unwrap();
    recorder.console_line("a line\r\nof two", Some(5)).unwrap();
    recorder.record(&Record { kind: Kind::Idle as u16, ..Record::default() }).unwrap();
    assert_eq!(std::fs::metadata(recording.console()).unwrap().len(), 0);
    recorder.flush().unwrap();
    assert_eq!(std::fs::read_to_string(recording.console()).unwrap(), "a line  of two\n");
    let records: Vec<Record> = EventsReader::open(&recording.events()).unwrap().map(Result::unwrap).collect();
    assert_eq!(
        records.iter().map(|r| (r.kind, r.lp, r.guest_ns)).collect::<Vec<_>>(),
        [(Kind::Console as u16, NO_LP, 5000), (Kind::Idle as u16, 0, 0)]
    );
}

/// The rig ends a run whose recording cannot be: it asks after each record.
#[test]
fn a_recorder_says_when_its_recording_cannot_be() {
    let recording = Recording { dir: tempfile::tempdir().unwrap() };
    let setup = Setup::new(2, SubjectNames::in_tree());
    let mut recorder = Recorder::create(&recording.events(), &recording.console(), setup).unwrap();
    recorder.record(&Record { kind: Kind::Idle as u16, ..Record::default() }).unwrap();
    assert!(recorder.fault().is_none());
    recorder.record(&Record { lp: 2, kind: Kind::Idle as u16, ..Record::default() }).unwrap();
    assert!(recorder.fault().unwrap().to_string().contains("the machine has 2 CPUs"));
}

/// The run's end is a record as any other: if one before it is gone, it says so itself.
#[test]
fn a_run_end_in_the_wrong_place_is_a_fault() {
    let (recording, _) = record(&Synthetic::plain(2, 1));
    let mut bytes = std::fs::read(recording.events()).unwrap();
    let last = bytes.last_chunk_mut::<{ Record::SIZE }>().unwrap();
    let mut end = Record::from_bytes(last);
    end.seq += 1;
    *last = end.to_bytes();
    std::fs::write(recording.events(), bytes).unwrap();
    let fault = check(&recording.events(), None).unwrap().findings.fault.unwrap().to_string();
    assert!(fault.contains("missing, doubled or misplaced"), "{fault}");
}

#[test]
fn records_survive_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.bin");
    let setup = Setup::new(3, SubjectNames::in_tree());
    let mut writer = EventsWriter::create(&path, &setup).unwrap();
    let records: Vec<Record> = (0..5).map(|seq| Record { seq, a: seq * 7, ..Record::default() }).collect();
    for record in &records {
        assert_eq!(writer.append(record).unwrap(), *record);
    }
    writer.finish(&RunEnd::Finished).unwrap();
    let reader = EventsReader::open(&path).unwrap();
    assert_eq!(*reader.setup(), setup);
    let read: Vec<Record> = reader.map(Result::unwrap).collect();
    assert_eq!(read[..5], records);
    assert_eq!(read.len(), 6);
}

fn digest(records: &[Record]) -> String {
    let mut digest = TimelineDigest::default();
    for record in records {
        digest.add(record);
    }
    digest.finish()
}

#[test]
fn a_digest_knows_the_guest_and_not_the_host() {
    let run = Synthetic::plain(4, 1);
    let same = Synthetic::plain(4, 1);
    let of = |edit: &dyn Fn(&mut Record)| {
        let mut records = run.records.clone();
        edit(&mut records[20]);
        digest(&records)
    };
    assert_eq!(digest(&run.records), digest(&same.records));
    assert_eq!(digest(&run.records), of(&|r| (r.host_ns, r.seq) = (1, 2)));
    assert_ne!(digest(&run.records), of(&|r| r.guest_ns += 1));
    assert_ne!(digest(&run.records), of(&|r| r.d += 1));
    let without_console: Vec<Record> = run.records.iter().filter(|r| r.kind != Kind::Console as u16).copied().collect();
    assert_eq!(digest(&run.records), digest(&without_console));
    assert_ne!(digest(&run.records), digest(&Synthetic::new(4).seed(9).boot().update().records));
}

#[test]
fn the_first_difference_is_found() {
    let run = Synthetic::plain(4, 1);
    let decoder = Decoder::new(&run.setup);
    let diff = |other: &[Record], strictness| {
        first_difference((&decoder, run.records.clone()), (&decoder, other.to_vec()), strictness)
    };
    assert_eq!(diff(&run.records, Strictness::Exact), None);
    let mut later = run.records.clone();
    for record in &mut later {
        record.guest_ns += 5;
    }
    assert!(diff(&later, Strictness::Exact).is_some());
    assert_eq!(diff(&later, Strictness::Order), None);
    let shorter = &run.records[..60];
    let difference = diff(shorter, Strictness::Exact).unwrap();
    assert!(difference.left.is_some() && difference.right.is_none());
    let text = difference.to_string();
    assert!(text.contains("it ends") && text.contains(&format!("{} events in common", difference.common)), "{text}");
}

#[test]
fn two_runs_are_compared() {
    let (plain, _) = record(&Synthetic::plain(4, 1));
    let (same, _) = record(&Synthetic::plain(4, 1));
    let (early, _) = record(&Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update());
    let alike = rig_judge::compare(&plain.events(), &same.events()).unwrap();
    assert!(alike.first.is_none() && alike.digests[0] == alike.digests[1] && alike.invariants.is_empty());
    assert!(alike.to_string().starts_with("the timelines are the same: digest "));
    let other = rig_judge::compare(&plain.events(), &early.events()).unwrap();
    let lockstep = other.invariants.iter().find(|(i, _)| *i == rig_judge::Invariant::Lockstep).unwrap();
    assert_eq!(lockstep.1, [rig_judge::Standing::Held, rig_judge::Standing::Broken]);
    let text = other.to_string();
    assert!(text.contains("events in common") && text.contains("loads update_ctrl.state = 1"), "{text}");
    assert!(text.contains("INSTALL") && text.contains("RUN_UPDATE"), "{text}");
}
