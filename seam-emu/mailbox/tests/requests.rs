//! Requests from a guest, one after another, and how the handler answers them.

mod common;

use common::{Bench, LP_INIT, Quiet, SEAMLDR_INFO, SYS_INIT, SYS_RD, leaf, seamcall};
use rig_wire::event::{Kind as Recorded, flags};
use rig_wire::plan::{Control, ControlReply, Hold, HoldStart, Point, Since, Until};
use seam_emu::{Durations, Regs};
use seam_mailbox::slots::{Kind, Request, from_words};
use std::thread::sleep;
use std::time::Duration;

fn kinds(quiet: &Quiet) -> Vec<(u16, Option<Recorded>)> {
    quiet.bench.records().iter().map(|r| (r.lp, Recorded::from_u16(r.kind))).collect()
}

#[test]
fn a_seamcall_is_served_and_recorded() {
    let mut quiet = Quiet::new(2, |_| {});
    let (outcome, regs) = quiet.call(1, leaf(SYS_INIT));
    assert_eq!((outcome, regs.rax), (0, 0));
    let records = quiet.bench.records();
    let (first, last) = (&records[0], records.last().unwrap());
    assert_eq!((first.kind, first.lp, first.a), (Recorded::SeamcallEnter as u16, 1, SYS_INIT));
    assert_eq!((first.guest_ns, first.flags & flags::IF), (1000, flags::IF));
    assert_eq!((last.kind, last.lp, last.b), (Recorded::SeamcallExit as u16, 1, 0));
    assert!(records.iter().any(|r| r.kind == Recorded::ModuleState as u16 && r.b == 1));
}

#[test]
fn firmware_reaches_the_guests_memory() {
    let mut quiet = Quiet::new(1, |_| {});
    let pa = 0x20_0000;
    let (outcome, regs) = quiet.call(0, Regs { rcx: pa, ..leaf(SEAMLDR_INFO) });
    assert_eq!((outcome, regs.rax), (0, 0));
    let mut vendor = [0; 4];
    assert!(quiet.ram.read(pa as usize + 8, &mut vendor));
    assert_eq!(u32::from_le_bytes(vendor), 0x8086);
}

#[test]
fn a_call_lasts_as_long_as_the_platform_says() {
    let lasting = Durations { default_ns: 30_000_000, ..Durations::default() };
    let mut quiet = Quiet::new(1, |plan| plan.firmware.durations = lasting);
    let caller = quiet.caller(0);
    let (number, _) = caller.post(&seamcall(leaf(SYS_INIT)));
    let round = quiet.handler.serve(&quiet.slots);
    assert_eq!(round.answered, 0);
    assert!(round.next_ns.is_some_and(|ns| ns >= 30_000_000));
    assert_eq!(caller.collect(number), None);
    sleep(Duration::from_millis(31));
    assert_eq!(quiet.handler.serve(&quiet.slots).answered, 1);
    assert_eq!(caller.collect(number).unwrap().1.rax, 0);
    assert_eq!(kinds(&quiet).iter().filter(|k| k.1 == Some(Recorded::SeamcallEnter)).count(), 1);
}

#[test]
fn a_hold_keeps_a_cpu_until_another_has_passed() {
    let passed = Until::Passed { lp: 1, at: Point::SeamcallExit { leaf: SYS_RD }, nth: 1, since: Since::Update };
    let at = Point::SeamcallEnter { leaf: SYS_RD };
    let hold = Hold { lp: 0, at, nth: 1, from: HoldStart::Section, until: passed, limit_ns: 1 << 40 };
    let mut quiet = Quiet::new(2, |plan| (plan.schedules, plan.update_function) = (vec![vec![hold]], None));
    quiet.call(0, leaf(SYS_INIT));
    quiet.call(0, leaf(LP_INIT));
    quiet.call(1, leaf(LP_INIT));
    quiet.bench.records();
    let rd = seamcall(Regs { rdx: 0x0800_0001_0000_0003, ..leaf(SYS_RD) });
    assert_eq!(quiet.ask(0, &rd), None, "it is held");
    assert!(quiet.ask(1, &rd).is_some());
    assert_eq!(quiet.handler.serve(&quiet.slots).answered, 1);
    let order: Vec<_> = kinds(&quiet);
    let enter = Some(Recorded::SeamcallEnter);
    assert_eq!(order[0], (0, Some(Recorded::HoldBegin)));
    assert!(order.iter().position(|e| *e == (1, enter)) < order.iter().position(|e| *e == (0, enter)));
}

#[test]
fn what_the_guest_reports_is_recorded_if_the_plan_watches_it() {
    let mut quiet = Quiet::new(1, |_| {});
    let note = |kind: u64, flags: u64, a: u64| {
        let regs = from_words([kind, flags, a, 42, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        Request { kind: Kind::Record as u32, flags: 0, guest_ns: 7, regs }
    };
    let stored = u64::from(flags::STORE);
    assert_eq!(quiet.ask(0, &note(Recorded::Watch as u64, stored, 1)).unwrap().0, 0);
    assert_eq!(quiet.ask(0, &note(Recorded::FunctionEnter as u64, 0, 0)).unwrap().0, 0);
    let records = quiet.bench.records();
    assert_eq!((records[0].flags, records[0].a, records[0].b), (flags::STORE, 1, 42));
    for (kind, index) in [(Recorded::Watch as u64, 2), (Recorded::SeamcallExit as u64, 0), (1 << 16 | 3, 0), (99, 0)] {
        assert_eq!(quiet.ask(0, &note(kind, 0, index)).unwrap().0, 3, "{kind} {index}");
    }
    assert!(kinds(&quiet).iter().all(|k| k.1 == Some(Recorded::Unknown)));
}

#[test]
fn msrs_of_the_platform_can_be_read() {
    let mut quiet = Quiet::new(1, |_| {});
    let read =
        |msr| Request { kind: Kind::ReadMsr as u32, regs: Regs { rcx: msr, ..Regs::default() }, ..Request::default() };
    let (outcome, regs) = quiet.ask(0, &read(0x87)).unwrap();
    assert_eq!(outcome, 0);
    assert!(regs.rax >> 32 >= 2, "there are TDX KeyIDs");
    assert_eq!(quiet.ask(0, &read(0x10)).unwrap().0, 3);
}

#[test]
fn who_does_not_count_is_reported_once_and_not_served() {
    let mut quiet = Quiet::new(2, |_| {});
    let number = quiet.memory.word32(4096);
    for wild in [7, 0xffff_ffff, 2] {
        number.store(wild, std::sync::atomic::Ordering::Release);
        assert_eq!(quiet.handler.serve(&quiet.slots).answered, 0);
    }
    assert_eq!(kinds(&quiet), [(0, Some(Recorded::Unknown))]);
    assert_eq!(quiet.call(1, leaf(SYS_INIT)).0, 0, "others are served");
}

#[test]
fn a_guest_that_changes_its_request_is_served_the_first() {
    let lasting = Durations { default_ns: 20_000_000, ..Durations::default() };
    let mut quiet = Quiet::new(1, |plan| plan.firmware.durations = lasting);
    let caller = quiet.caller(0);
    let (number, _) = caller.post(&seamcall(leaf(SYS_INIT)));
    quiet.handler.serve(&quiet.slots);
    quiet.memory.word64(4096 + 64).store(u64::MAX, std::sync::atomic::Ordering::Relaxed);
    sleep(Duration::from_millis(21));
    quiet.handler.serve(&quiet.slots);
    assert_eq!(caller.collect(number).unwrap(), (0, quiet_success()));
}

fn quiet_success() -> Regs {
    Regs::default()
}

#[test]
fn a_call_in_flight_survives_a_snapshot() {
    let lasting = Durations { default_ns: 20_000_000, ..Durations::default() };
    let mut quiet = Quiet::new(1, |plan| plan.firmware.durations = lasting.clone());
    let caller = quiet.caller(0);
    let (number, _) = caller.post(&seamcall(leaf(SYS_INIT)));
    quiet.handler.serve(&quiet.slots);
    let path = quiet.bench.dir.path().join("state");
    let saved = quiet.handler.control(&Control::Save { path: path.clone() });
    assert_eq!(saved, ControlReply::Ok { text: String::new() });
    let bench = Bench::new(1, |plan| {
        (plan.firmware.durations, plan.restore) = (lasting, Some(path));
    });
    let mut restored = Quiet::of(bench, 1);
    assert_eq!(restored.handler.serve(&restored.slots), seam_mailbox::Round::default(), "nothing is loaded yet");
    let mut bytes = vec![0; quiet.memory.len()];
    assert!(quiet.memory.read(0, &mut bytes) && restored.memory.write(0, &bytes));
    restored.handler.go();
    sleep(Duration::from_millis(21));
    assert_eq!(restored.handler.serve(&restored.slots).answered, 1);
    assert_eq!(restored.caller(0).collect(number).unwrap().1.rax, 0);
    assert!(kinds(&restored).iter().all(|k| k.1 != Some(Recorded::SeamcallEnter)), "it was recorded before");
}

#[test]
fn a_state_of_another_machine_is_refused() {
    let mut quiet = Quiet::new(2, |_| {});
    let path = quiet.bench.dir.path().join("state");
    quiet.handler.control(&Control::Save { path: path.clone() });
    let bench = Bench::new(3, |plan| plan.restore = Some(path));
    let error = seam_mailbox::RequestHandler::new(&bench.plan, Bench::ram().1).unwrap_err();
    assert!(error.to_string().contains("2 CPUs, not 3"), "{error}");
}

#[test]
fn machine_code_is_refused() {
    let bench = Bench::new(1, |plan| plan.firmware.machine_code = true);
    let error = seam_mailbox::RequestHandler::new(&bench.plan, Bench::ram().1).unwrap_err();
    assert!(error.to_string().contains("machine code"), "{error}");
}
