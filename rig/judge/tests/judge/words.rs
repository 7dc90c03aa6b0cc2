//! Records in words, and where two timelines part.

use rig_judge::synthetic::Synthetic;
use rig_judge::timeline::{
    Decoder, EventsError, EventsReader, EventsWriter, Leaf, Place, Strictness, Word, first_difference,
};
use rig_judge::{RunEnd, Setup, SubjectNames};
use rig_wire::event::{HostCause, Kind, Mark, NO_LP, Record, flags};
use rstest::rstest;
use std::io::{ErrorKind, Read};

const CODE: u64 = 0xffff_ffff_8107_8640;

fn described(kind: Kind, flags: u32, [a, b, c, d]: [u64; 4]) -> String {
    let decoder = Decoder::new(&Synthetic::new(1).setup);
    decoder.describe(&Record { kind: kind as u16, flags, a, b, c, d, ..Record::default() })
}

fn mark(mark: Mark) -> u64 {
    mark as u64
}

#[rstest]
#[case::enter(Kind::SeamcallEnter, 0, [52, 0, 0, 0], "SYS.SHUTDOWN entered")]
#[case::read(Kind::SeamcallEnter, flags::IF, [34, 0, 0x12, 0], "SYS.RD of field 0x0000000000000012 entered, interrupts enabled")]
#[case::in_interrupt(Kind::SeamcallEnter, flags::HARDIRQ, [36, 0, 0, 0], "SYS.TDMR.INIT entered, in an interrupt")]
#[case::in_open_interrupt(Kind::SeamcallEnter, flags::HARDIRQ | flags::IF, [36, 0, 0, 0], "SYS.TDMR.INIT entered, in an interrupt with interrupts enabled")]
#[case::exit(Kind::SeamcallExit, 0, [53, 0, 0, 0], "SYS.UPDATE ended: SUCCESS (0x0)")]
#[case::fault(Kind::SeamcallExit, flags::FAULT, [53, 3, 0, 0], "SYS.UPDATE ended: 0x0000000000000003, injected fault")]
#[case::contended(Kind::SeamcallExit, flags::CONTENDED | flags::VMFAIL_INVALID, [Leaf::INSTALL.0, 0, 0, 0], "INSTALL ended: VMfailInvalid, another LP was inside")]
#[case::two_reasons(Kind::SeamcallExit, flags::FAULT | flags::UNMODELLED, [69, 0, 0, 0], "SYS.DISABLE ended: SUCCESS (0x0), injected fault, leaf not modelled")]
#[case::ud(Kind::SeamcallExit, flags::UD, [69, 0, 0, 0], "SYS.DISABLE ended: #UD")]
#[case::gp(Kind::SeamcallExit, flags::GP, [69, 0, 0, 0], "SYS.DISABLE ended: #GP(0)")]
#[case::load(Kind::Watch, 0, [1, 3, 0, 0], "loads update_ctrl.num_ack = 3")]
#[case::load_somewhere(Kind::Watch, flags::IF, [1, 3, 0, CODE], "loads update_ctrl.num_ack = 3 (do_seamldr_install_module+0x10), interrupts enabled")]
#[case::state(Kind::Watch, flags::STORE, [0, 2, 0, 0x1234], "stores update_ctrl.state = 2 (CPU_INSTALL) (0x1234)")]
#[case::no_step(Kind::Watch, flags::STORE, [0, 9, 0, 0], "stores update_ctrl.state = 9")]
#[case::no_word(Kind::Watch, 0, [99, 1, 0, 0], "loads ? = 1")]
#[case::function(Kind::FunctionEnter, 0, [1, 0, 0, 0], "enters multi_cpu_stop")]
#[case::left(Kind::FunctionExit, 0, [0, 0xffff_fffb, 0, 0], "leaves do_seamldr_install_module, returning -5")]
#[case::ready(Kind::Mark, 0, [mark(Mark::Ready), 0, 0, 0], "the agent is ready")]
#[case::begin(Kind::Mark, 0, [mark(Mark::UpdateBegin), 3, 0, 0], "upload 3 begins")]
#[case::end(Kind::Mark, 0, [mark(Mark::UpdateEnd), 3 << 32 | 7, 0, 0], "upload 7 ended")]
#[case::stalled(Kind::Mark, 0, [mark(Mark::Stalled), 5_000_000, 0, 0], "no progress for 5000 us: the machine ends")]
#[case::repeated(Kind::Mark, 0, [mark(Mark::Repeated), 12, 0x1_0045, 0x8000_0202_0000_0000], "12 more calls of SYS.DISABLE, which ended: SYS_BUSY (0x8000020200000000)")]
#[case::paused(Kind::Mark, 0, [mark(Mark::HostTook), 5, 10, HostCause::RigPaused as u64], "the host took 5 of the last 10 ms: the rig did not run")]
#[case::qemu(Kind::Mark, 0, [mark(Mark::HostTook), 5, 10, HostCause::QemuStopped as u64], "the host took 5 of the last 10 ms: QEMU was stopped")]
#[case::starved(Kind::Mark, 0, [mark(Mark::HostTook), 5, 10, HostCause::Starved as u64], "the host took 5 of the last 10 ms: QEMU's threads waited for a core")]
#[case::no_cause(Kind::Mark, 0, [mark(Mark::HostTook), 5, 10, 99], "the host took 5 of the last 10 ms: it is not known how")]
#[case::no_mark(Kind::Mark, 0, [99, 4, 0, 0], "mark 99, argument 4")]
#[case::interrupt(Kind::Interrupt, flags::IF, [CODE, 0x10, 0, 0], "is interrupted at do_seamldr_install_module+0x10, handled at 0x10, interrupts enabled")]
#[case::exception(Kind::Exception, 0, [0x10, 0x20, 0, 0], "exception at 0x10, handled at 0x20")]
#[case::hold(Kind::HoldBegin, 0, [4, 0, 0, 0], "hold 4 begins")]
#[case::held(Kind::HoldEnd, 0, [4, 0, 0, 0], "hold 4 ends")]
#[case::module(Kind::ModuleState, 0, [3, 5, 0, 0], "module state SYS_READY -> not loaded")]
#[case::no_state(Kind::ModuleState, 0, [6, 0, 0, 0], "module state ? -> SYSINIT_PENDING")]
#[case::digest(Kind::TdDigest, 0, [0x1000, 0xab, 0, 0], "TD 0x1000 has digest 00000000000000ab")]
#[case::unknown(Kind::Unknown, 0, [0x1000, 0xab, 0, 0], "unknown instruction 00000000000000ab at 0x1000")]
#[case::console(Kind::Console, 0, [6, 0, 0, 0], "console line 6")]
#[case::idle(Kind::Idle, 0, [1, 0, 0, 0], "goes idle")]
#[case::awake(Kind::Idle, 0, [0, 0, 0, 0], "wakes up")]
fn every_kind_of_record_has_words(
    #[case] kind: Kind,
    #[case] flags: u32,
    #[case] arguments: [u64; 4],
    #[case] words: &str,
) {
    assert_eq!(described(kind, flags, arguments), words);
}

#[test]
fn a_record_of_no_kind_says_so() {
    let decoder = Decoder::new(&Synthetic::new(1).setup);
    assert_eq!(decoder.describe(&Record { kind: 999, ..Record::default() }), "record of kind 999");
}

/// A watched function's code is named by its offset, from its first byte to its last.
#[test]
fn code_is_named_by_the_function_around_it() {
    let decoder = Decoder::new(&Synthetic::new(1).setup);
    let named = |pc: u64| decoder.code_name(pc);
    assert_eq!(named(0), None);
    assert_eq!(named(0xffff_ffff_8107_862f).unwrap(), "0xffffffff8107862f");
    assert_eq!(named(0xffff_ffff_8107_8630).unwrap(), "do_seamldr_install_module+0x0");
    assert_eq!(named(0xffff_ffff_8107_8745).unwrap(), "do_seamldr_install_module+0x115");
    assert_eq!(named(0xffff_ffff_8107_8746).unwrap(), "0xffffffff81078746");
    assert_eq!(named(0xffff_ffff_8108_1a00).unwrap(), "set_cpu_online+0x10");
}

/// Events in common are counted without console lines and marks, and the last of them is shown.
#[test]
fn a_difference_says_how_far_two_timelines_agree() {
    let setup = Setup::new(2, SubjectNames::in_tree());
    let decoder = Decoder::new(&setup);
    let idle =
        |lp: u16, a: u64, guest_ns: u64| Record { lp, kind: Kind::Idle as u16, a, guest_ns, ..Record::default() };
    let line = Record { lp: NO_LP, kind: Kind::Console as u16, ..Record::default() };
    let left = [idle(0, 1, 10), line, idle(0, 0, 20), idle(1, 1, 30), idle(1, 0, 40)];
    let right = [idle(0, 1, 10), idle(0, 0, 20), idle(1, 1, 31), idle(0, 1, 40)];
    let of = |strictness| first_difference((&decoder, left), (&decoder, right), strictness).unwrap();
    let (exact, order) = (of(Strictness::Exact), of(Strictness::Order));
    assert_eq!((exact.common, order.common), (2, 3));
    assert_eq!(order.last_common.as_ref().map(|cited| cited.guest_ns), Some(30));
    assert_eq!((order.left.as_ref().unwrap().lp, order.right.as_ref().unwrap().lp), (Some(1), Some(0)));
    let text = order.to_string();
    assert!(text.starts_with("the timelines have 3 events in common\n  both   #"), "{text}");
    assert!(text.contains("\n  left   #") && text.contains("\n  right  #"), "{text}");
    let nothing = first_difference((&decoder, [left[0]]), (&decoder, [right[3]]), Strictness::Exact).unwrap();
    assert_eq!((nothing.common, nothing.last_common.clone()), (0, None));
    assert!(!nothing.to_string().contains("both"), "{nothing}");
}

/// A file that comes in pieces, interrupted in between, or that cannot be read on.
#[derive(Debug)]
struct Pieces {
    bytes: std::io::Cursor<Vec<u8>>,
    turn: u32,
    fails: Option<ErrorKind>,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.turn += 1;
        match self.fails {
            Some(kind) if self.turn.is_multiple_of(3) => Err(kind.into()),
            _ => {
                let some = buffer.len().min(7);
                self.bytes.read(&mut buffer[..some])
            }
        }
    }
}

#[test]
fn a_timeline_may_come_in_pieces() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.bin");
    let mut writer = EventsWriter::create(&path, &Setup::new(2, SubjectNames::in_tree())).unwrap();
    writer.append(&Record { a: 5, ..Record::default() }).unwrap();
    writer.finish(&RunEnd::Finished).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let pieces = |fails| Pieces { bytes: std::io::Cursor::new(whole.clone()), turn: 0, fails };
    for fails in [None, Some(ErrorKind::Interrupted)] {
        let read: Vec<Record> = EventsReader::read(&path, pieces(fails)).unwrap().map(Result::unwrap).collect();
        assert_eq!(read.iter().map(|r| r.a).collect::<Vec<_>>(), [5, Mark::RunEnd as u64]);
    }
    let header = EventsReader::read(&path, pieces(Some(ErrorKind::PermissionDenied))).unwrap_err();
    assert!(matches!(header, EventsError::Io { .. }), "{header}");
}

/// A disk that fails once, and then has nothing more.
#[derive(Debug)]
struct FailsOnce(Option<ErrorKind>);

impl Read for FailsOnce {
    fn read(&mut self, _: &mut [u8]) -> std::io::Result<usize> {
        self.0.take().map_or(Ok(0), |kind| Err(kind.into()))
    }
}

/// Records that cannot be read are an error, and not the timeline's end.
#[test]
fn a_timeline_that_cannot_be_read_on_says_so() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.bin");
    EventsWriter::create(&path, &Setup::new(2, SubjectNames::in_tree())).unwrap().finish(&RunEnd::Finished).unwrap();
    let whole = std::fs::read(&path).unwrap();
    let last = |kind| EventsReader::read(&path, whole.as_slice().chain(FailsOnce(Some(kind)))).unwrap().last().unwrap();
    let error = last(ErrorKind::PermissionDenied).unwrap_err();
    assert!(matches!(error, EventsError::Io { .. }), "{error}");
    assert!(last(ErrorKind::Interrupted).is_ok());
}

/// What was flushed is in the file, while more is yet to come, and the end belongs to no LP.
#[test]
fn a_timeline_that_was_flushed_can_be_read() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("events.bin");
    let mut writer = EventsWriter::create(&path, &Setup::new(2, SubjectNames::in_tree())).unwrap();
    assert_eq!(writer.records(), 0);
    for n in 0..3 {
        writer.append(&Record { a: n, ..Record::default() }).unwrap();
        assert_eq!(writer.records(), n + 1);
    }
    assert!(EventsReader::open(&path).is_err(), "nothing was flushed");
    writer.flush().unwrap();
    let read: Vec<Record> = EventsReader::open(&path).unwrap().map(Result::unwrap).collect();
    assert_eq!(read.iter().map(|r| (r.seq, r.a)).collect::<Vec<_>>(), [(0, 0), (1, 1), (2, 2)]);
    writer.finish(&RunEnd::Stopped).unwrap();
    let end = EventsReader::open(&path).unwrap().last().unwrap().unwrap();
    assert_eq!((end.seq, end.lp, end.kind, end.a, end.b), (3, NO_LP, Kind::Mark as u16, Mark::RunEnd as u64, 2));
}

/// A function is a place of the oracle only if it has the subject's name for it.
#[test]
fn another_function_is_no_place_of_the_oracles() {
    let mut setup = Synthetic::new(1).setup;
    let names = setup.subject.clone();
    let places = [
        (names.install_function, Place::Install),
        (names.stop_function, Place::Stop),
        (names.set_online_function, Place::SetOnline),
        ("another".to_owned(), Place::Other),
    ];
    for (name, place) in places {
        setup.functions.truncate(1);
        setup.functions[0].name = name;
        let decoder = Decoder::new(&setup);
        for other in [Place::Install, Place::Stop, Place::SetOnline, Place::Other] {
            assert_eq!(decoder.follows(other), other == place, "{other:?}");
        }
    }
}

/// A word is one of the oracle's only if it has the subject's name for it.
#[test]
fn another_word_is_none_of_the_oracles() {
    let mut setup = Synthetic::new(1).setup;
    let names = setup.subject.clone();
    let words = [
        (names.state, Word::State),
        (names.num_ack, Word::NumAck),
        (names.num_failed, Word::NumFailed),
        (names.num_online, Word::NumOnline),
        ("another".to_owned(), Word::Other),
    ];
    for (name, word) in words {
        setup.watches.truncate(1);
        setup.watches[0].name = name;
        let decoder = Decoder::new(&setup);
        for other in [Word::State, Word::NumAck, Word::NumFailed, Word::NumOnline, Word::Other] {
            assert_eq!(decoder.watches(other), other == word, "{other:?}");
        }
    }
}
