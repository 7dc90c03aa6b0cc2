//! Steps that take their time, and guests that hang: who is said to keep the others waiting, and by what evidence.

use super::edit::{broken, insert, is_mark, last_call, seen, stores};
use rig_judge::synthetic::Synthetic;
use rig_judge::timeline::Leaf;
use rig_judge::{Breach, Invariant, RunEnd, Step};
use rig_wire::event::{Kind, Mark, Record};
use rstest::rstest;

fn hung(mut run: Synthetic) -> Breach {
    run.end = RunEnd::Hung { what: "update 1 makes no progress".into() };
    let breaches = run.judge().0.breaches();
    assert_eq!(breaches.iter().map(|b| b.invariant).collect::<Vec<_>>(), [Invariant::Progress], "{breaches:#?}");
    breaches[0].clone()
}

/// Where a step begins, by the store of its number.
fn begins(run: &Synthetic, step: Step) -> usize {
    let state = run.setup.subject.state.clone();
    run.records.iter().position(|r| stores(run, r, &state) && r.b == step.number()).unwrap()
}

/// Where the acknowledgements of this step are stored, in their order.
fn acknowledgements(run: &Synthetic, step: Step) -> Vec<usize> {
    let acks = run.setup.subject.num_ack.clone();
    let is_ack = |r: &Record| stores(run, r, &acks) && r.b != 0;
    (begins(run, step)..run.records.len()).filter(|at| is_ack(&run.records[*at])).take(4).collect()
}

/// A step may take its budget of guest time, to the last nanosecond of it; one that began at no known time is not judged.
#[rstest]
#[case::all_of_it(Some(7_999_999), false)]
#[case::a_nanosecond_more(Some(8_000_000), true)]
#[case::clock_not_read(None, false)]
fn a_step_has_a_budget(#[case] took_ns: Option<u64>, #[case] breaks: bool) {
    let mut run = Synthetic::plain(4, 1);
    run.setup.step_budget_ms = Some(7);
    let begins = begins(&run, Step::Done);
    let install = run.records.iter().rposition(|r| r.kind == Kind::FunctionExit as u16 && r.a == 0).unwrap();
    if let Some(took_ns) = took_ns {
        run.records[install].guest_ns = run.records[begins].guest_ns + took_ns;
    } else {
        run.records[begins].guest_ns = 0;
        run.records[install].guest_ns += 8_000_000;
    }
    let findings = run.judge().0;
    assert_eq!(broken(&findings), breaks.then_some(Invariant::Progress).into_iter().collect());
    if breaks {
        assert_eq!(seen(&findings, Invariant::Progress), "the step is under way for 8 ms");
    }
}

/// A CPU inside a SEAMCALL keeps the others waiting; else those that have yet to acknowledge; else those that have yet to leave.
#[test]
fn a_hang_names_who_keeps_the_others_waiting() {
    let run = Synthetic::plain(4, 1);
    let (_, last) = (0..4).map(|lp| last_call(&run, lp, Leaf::INSTALL)).max().unwrap();
    let mut calling = run.clone();
    calling.records.truncate(last);
    let breach = hung(calling);
    assert_eq!((breach.lps, breach.step), (vec![run.records[last].lp], Some(Step::CpuInstall)));
    assert_eq!(breach.seen, "the guest makes no progress; inside the section: CPUs 0-3");

    let acks = acknowledgements(&run, Step::Done);
    for n in 0..3 {
        let mut acknowledging = run.clone();
        acknowledging.records.truncate(acks[n] + 1);
        let acked: Vec<u16> = acks[..=n].iter().map(|at| run.records[*at].lp).collect();
        let breach = hung(acknowledging);
        assert_eq!((breach.lps, breach.step), ((0..4).filter(|lp| !acked.contains(lp)).collect(), Some(Step::Done)));
    }

    let mut leaving = run.clone();
    leaving.records.truncate(acks[3] + 1);
    let left = |lp: u16| leaving.records.iter().any(|r| r.lp == lp && r.kind == Kind::FunctionExit as u16);
    let inside: Vec<u16> = (0..4).filter(|lp| !left(*lp)).collect();
    assert_eq!(hung(leaving).lps, inside);
}

/// The evidence of a hang is what each CPU did last for the update, not that it went idle.
#[test]
fn going_idle_is_no_evidence() {
    let mut run = Synthetic::plain(4, 1);
    let acks = acknowledgements(&run, Step::Done);
    run.records.truncate(acks[1] + 1);
    let lps = 0..4;
    run.records.extend(lps.map(|lp| Record { lp, kind: Kind::Idle as u16, a: 1, ..Record::default() }));
    run.renumber();
    let breach = hung(run);
    assert!(breach.events.iter().all(|event| event.record.kind != Kind::Idle as u16), "{breach}");
}

/// A guest may hang outside any update: before it, in an upload that never gets there, and with nothing under way.
#[test]
fn a_hang_outside_the_section_is_told_from_one_inside() {
    let boot = Synthetic::new(4).boot();
    let breach = hung(boot.clone());
    assert_eq!(
        (breach.update, breach.seen.as_str()),
        (None, "the guest makes no progress, and no upload is under way")
    );
    let last = boot.records.iter().rposition(|r| r.kind == Kind::SeamcallExit as u16).unwrap();
    assert_eq!(breach.events.iter().map(|event| event.seq).collect::<Vec<_>>(), [last as u64]);

    let mut uploading = Synthetic::plain(4, 1);
    let begin = uploading.records.iter().position(|r| is_mark(r, Mark::UpdateBegin)).unwrap();
    uploading.records.truncate(begin + 1);
    let stop = uploading.setup.functions.iter().position(|f| f.name == uploading.setup.subject.stop_function).unwrap();
    let enters = Record { lp: 2, kind: Kind::FunctionEnter as u16, a: stop as u64, ..Record::default() };
    let leaves = Record { lp: 3, kind: Kind::FunctionExit as u16, ..enters };
    insert(&mut uploading, begin + 1, [Record { lp: 3, ..enters }, leaves, enters]);
    let breach = hung(uploading);
    assert_eq!((breach.update, breach.lps.as_slice()), (Some(1), &[2][..]));
    assert!(breach.seen.starts_with("an upload began, and the guest makes no progress outside"), "{}", breach.seen);
}

/// An update that the uploader takes for ended while a CPU is inside has not ended.
#[test]
fn an_update_ends_when_every_cpu_has_left() {
    let mut run = Synthetic::plain(4, 1);
    let exit = run.records.iter().rposition(|r| r.kind == Kind::FunctionExit as u16 && r.a == 0).unwrap();
    let lp = run.records[exit].lp;
    let mut rest = run.records.split_off(exit);
    rest.retain(|r| is_mark(r, Mark::UpdateEnd));
    run.records.append(&mut rest);
    run.renumber();
    let findings = run.judge().0;
    assert_eq!(broken(&findings), [Invariant::Progress].into());
    let words = format!("the update is said to have ended, but they are inside; inside the section: CPU {lp}");
    assert_eq!((seen(&findings, Invariant::Progress), findings.breaches()[0].update), (words, Some(1)));
}

/// By SEAMCALLs alone, a step begins with the first call of it, and its budget with that.
#[test]
fn a_budget_begins_with_a_steps_first_call() {
    let mut run = Synthetic::plain(16, 1).seamcalls_only();
    run.setup.step_budget_ms = Some(1);
    let breaches = run.judge().0.breaches();
    assert_eq!((breaches[0].invariant, breaches[0].step), (Invariant::Progress, Some(Step::CpuInstall)));
    let begins = run.records.iter().position(|r| Leaf::of(r) == Leaf::INSTALL).unwrap();
    assert_eq!(breaches[0].events[0].seq, begins as u64);
}
