//! A recording that cannot be is no ground for any verdict on the subject: each damage is found, and named by its record.

use rig_judge::synthetic::Synthetic;
use rig_judge::timeline::Leaf;
use rig_judge::{Facts, Outcome, RunEnd, Standing, Verdict};
use rig_wire::event::{Kind, Mark, NO_LP, Record};
use rstest::rstest;

/// Where the first record after the boot is that this accepts.
fn find(run: &Synthetic, accept: impl Fn(&Record) -> bool) -> usize {
    let begin = run.records.iter().position(|r| is_mark(r, Mark::UpdateBegin)).unwrap();
    begin + run.records[begin..].iter().position(accept).unwrap()
}

fn is_mark(record: &Record, mark: Mark) -> bool {
    record.kind == Kind::Mark as u16 && record.a == mark as u64
}

fn is_call(record: &Record, kind: Kind, leaf: Leaf) -> bool {
    record.kind == kind as u16 && record.a == leaf.0
}

fn insert(run: &mut Synthetic, record: Record) {
    let at = find(run, |r| is_call(r, Kind::SeamcallEnter, Leaf::SHUTDOWN));
    run.records.insert(at, record);
    run.renumber();
}

fn remove(run: &mut Synthetic, accept: impl Fn(&Record) -> bool) {
    let at = find(run, accept);
    run.records.remove(at);
    run.renumber();
}

fn unknown_instruction(run: &mut Synthetic) {
    insert(run, Record { lp: 1, kind: Kind::Unknown as u16, a: 0xffff_ffff_8100_0000, ..Record::default() });
}

fn kind_of_no_meaning<const KIND: u16>(run: &mut Synthetic) {
    insert(run, Record { lp: 1, kind: KIND, ..Record::default() });
}

fn foreign_lp(run: &mut Synthetic) {
    insert(run, Record { lp: 9, kind: Kind::Idle as u16, ..Record::default() });
}

fn call_of_no_lp(run: &mut Synthetic) {
    insert(run, Record { lp: NO_LP, kind: Kind::SeamcallEnter as u16, ..Record::default() });
}

fn call_inside_a_call(run: &mut Synthetic) {
    let at = find(run, |r| is_call(r, Kind::SeamcallEnter, Leaf::SHUTDOWN)) + 1;
    let call = |kind| Record { kind, a: Leaf::SYS_RD.0, ..Record::default() };
    run.records.splice(at..at, [call(Kind::SeamcallEnter as u16), call(Kind::SeamcallExit as u16)]);
    run.renumber();
}

fn memory_inside_a_call(run: &mut Synthetic) {
    let at = find(run, |r| is_call(r, Kind::SeamcallEnter, Leaf::SHUTDOWN)) + 1;
    run.records.insert(at, Record { kind: Kind::Watch as u16, a: 1, b: 1, ..Record::default() });
    run.renumber();
}

fn end_without_a_beginning(run: &mut Synthetic) {
    remove(run, |r| is_call(r, Kind::SeamcallEnter, Leaf::UPDATE));
}

fn beginning_without_an_end(run: &mut Synthetic) {
    remove(run, |r| is_call(r, Kind::SeamcallExit, Leaf::UPDATE));
}

fn end_of_another_call(run: &mut Synthetic) {
    let at = find(run, |r| is_call(r, Kind::SeamcallExit, Leaf::UPDATE));
    run.records[at].a = Leaf::SHUTDOWN.0;
}

fn section_left_twice(run: &mut Synthetic) {
    let at = find(run, |r| r.kind == Kind::FunctionExit as u16 && r.a == 0);
    let exit = run.records[at];
    run.records.insert(at, exit);
    run.renumber();
}

fn section_entered_twice(run: &mut Synthetic) {
    let at = find(run, |r| r.kind == Kind::FunctionEnter as u16 && r.a == 0);
    let enter = run.records[at];
    run.records.insert(at, enter);
    run.renumber();
}

fn a_record_cut_out(run: &mut Synthetic) {
    let at = find(run, |r| r.kind == Kind::Watch as u16);
    run.records.remove(at);
}

fn upload_without_an_end(run: &mut Synthetic) {
    remove(run, |r| is_mark(r, Mark::UpdateEnd));
}

fn upload_without_a_beginning(run: &mut Synthetic) {
    remove(run, |r| is_mark(r, Mark::UpdateBegin));
}

fn upload_ended_by_another_number(run: &mut Synthetic) {
    let at = find(run, |r| is_mark(r, Mark::UpdateEnd));
    run.records[at].b += 1;
}

fn upload_begun_twice(run: &mut Synthetic) {
    insert(run, Record { lp: NO_LP, kind: Kind::Mark as u16, a: Mark::UpdateBegin as u64, b: 2, ..Record::default() });
}

fn mark_of_no_meaning(run: &mut Synthetic) {
    insert(run, Record { lp: NO_LP, kind: Kind::Mark as u16, a: 99, ..Record::default() });
}

fn repeated_by_no_cpu<const LP: u16>(run: &mut Synthetic) {
    insert(run, Record { lp: LP, kind: Kind::Mark as u16, a: Mark::Repeated as u64, b: 2, ..Record::default() });
}

fn record_behind_the_end(run: &mut Synthetic) {
    insert(run, Record { lp: NO_LP, kind: Kind::Mark as u16, a: Mark::RunEnd as u64, b: 1, ..Record::default() });
}

fn console_line_left_out(run: &mut Synthetic) {
    let at = find(run, |r| r.kind == Kind::Console as u16);
    run.records[at].a += 1;
}

#[rstest]
#[case(unknown_instruction, "could not follow the guest at 0xffffffff81000000")]
#[case(kind_of_no_meaning::<0>, "kind 0")]
#[case(kind_of_no_meaning::<77>, "kind 77")]
#[case(kind_of_no_meaning::<{ u16::MAX }>, "kind 65535")]
#[case(foreign_lp, "the machine has 4 CPUs")]
#[case(call_of_no_lp, "it names none")]
#[case(call_inside_a_call, "SYS.RD begins inside SYS.SHUTDOWN")]
#[case(memory_inside_a_call, "the CPU goes on with the kernel's code inside SYS.SHUTDOWN")]
#[case(end_without_a_beginning, "SYS.UPDATE ends and has not begun")]
#[case(beginning_without_an_end, "inside SYS.UPDATE")]
#[case(end_of_another_call, "SYS.SHUTDOWN ends inside SYS.UPDATE")]
#[case(section_left_twice, "leaves the section without having entered it")]
#[case(section_entered_twice, "enters the section in which it is")]
#[case(a_record_cut_out, "missing, doubled or misplaced")]
#[case(upload_without_an_end, "upload 1 has no end")]
#[case(upload_without_a_beginning, "upload 1 ends and has not begun")]
#[case(upload_ended_by_another_number, "upload 2 ends while upload 1 is under way")]
#[case(upload_begun_twice, "upload 2 begins before upload 1 ended")]
#[case(mark_of_no_meaning, "mark 99")]
#[case(repeated_by_no_cpu::<4>, "names no CPU of the machine")]
#[case(repeated_by_no_cpu::<NO_LP>, "names no CPU of the machine")]
#[case(record_behind_the_end, "behind the run's end")]
#[case(console_line_left_out, "of the console")]
fn damage_ends_the_run_as_a_fault_of_the_rig(#[case] damage: fn(&mut Synthetic), #[case] words: &str) {
    let mut run = Synthetic::plain(4, 1);
    damage(&mut run);
    let (examined, first) = run.examine();
    assert_eq!(first, None, "it is no breach");
    let fault = examined.findings.fault.as_ref().expect("the damage is found").to_string();
    assert!(fault.contains(words) && fault.starts_with("the recording cannot be trusted: record #"), "{fault}");
    assert!(matches!(&examined.end, RunEnd::Lost { cause } if *cause == fault));
    assert!(examined.findings.invariants.values().all(|f| f.standing() == Standing::NotApplicable));
    let verdict = Verdict::new(Facts::default(), &examined.findings, &RunEnd::Finished);
    assert_eq!((verdict.verdict, verdict.exit_code, verdict.reason), (Outcome::RigError, 5, Some(fault)));
}

/// Probes see the kernel's functions around the instruction: there calls nest, and a thread may move.
#[test]
fn probed_calls_may_nest() {
    let mut run = Synthetic::plain(4, 1);
    run.setup.is_probed = true;
    call_inside_a_call(&mut run);
    assert_eq!(run.examine().0.findings.fault, None);
}

/// What the rig stopped at the first breach may end anywhere.
#[test]
fn what_follows_a_breach_is_not_looked_at() {
    let mut run = Synthetic::new(4).boot().twist(rig_judge::synthetic::Twist::UpdateTwice).update();
    run.records.push(Record { lp: 9, kind: 77, ..Record::default() });
    let (examined, first) = run.examine();
    assert!(first.is_some() && examined.findings.fault.is_none());
}
