//! Where one update ends and the next begins.

use super::edit::{broken, call, insert, is_mark, last_call, stores};
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::{Invariant, RunEnd, Standing, Step};
use rig_wire::event::{Kind, Mark, Record};
use rstest::rstest;
use std::collections::BTreeSet;

const EBADHASH: u64 = 0x8000_0000_0002_0001;
const RND_NO_ENTROPY: u64 = 0x8000_0203_0000_0000;

fn without_marks(mut run: Synthetic) -> Synthetic {
    run.records.retain(|r| r.kind != Kind::Mark as u16);
    run.renumber();
    run
}

/// By SEAMCALLs alone, and where nobody announces an upload, a SHUTDOWN begins an update unless one is at SHUTDOWN still.
#[rstest]
#[case::both_complete(Synthetic::plain(4, 2), 2)]
#[case::the_first_without_its_end(Synthetic::new(4).boot().twist(Twist::Skip(Leaf::UPDATE)).update().update(), 2)]
#[case::the_first_failed(Synthetic::new(4).boot().fault(Leaf::INSTALL, 1, EBADHASH).update().update(), 2)]
fn a_shutdown_begins_another_update(#[case] run: Synthetic, #[case] updates: u32) {
    let mut run = without_marks(run.seamcalls_only());
    // Between SHUTDOWN and UPDATE's end they would be foreign.
    run.records.retain(|r| ![Leaf::SEAMLDR_INFO, Leaf::SYS_RD].contains(&Leaf::of(r)));
    run.renumber();
    run.end = RunEnd::Stopped;
    assert_eq!(run.judge().0.updates, updates);
}

/// A SHUTDOWN that found no entropy and is called again is the same update's.
#[test]
fn a_shutdown_that_is_retried_begins_no_other_update() {
    let mut run = without_marks(Synthetic::plain(4, 1).seamcalls_only());
    let (enter, exit) = last_call(&run, 0, Leaf::SHUTDOWN);
    let retried = [run.records[enter], Record { b: RND_NO_ENTROPY, ..run.records[exit] }];
    insert(&mut run, enter, retried);
    let (findings, first) = run.judge();
    assert_eq!((findings.updates, first), (1, None));
}

/// Whoever prepares an update is outside the section; a CPU inside it that stores the first state makes no new update.
#[test]
fn the_first_state_begins_an_update_only_from_outside() {
    let inside = Synthetic::new(4).boot().twist(Twist::StateBackwards(Step::CpuInstall)).update();
    let findings = inside.judge().0;
    assert_eq!((findings.updates, broken(&findings)), (1, [Invariant::Lockstep].into()));

    // The first update stops after its preparation, and another is prepared.
    let mut outside = without_marks(Synthetic::plain(4, 1));
    let state = outside.setup.subject.state.clone();
    let begins = outside.records.iter().position(|r| stores(&outside, r, &state)).unwrap();
    let prepared = outside.records[begins];
    insert(&mut outside, begins, [prepared]);
    let findings = outside.judge().0;
    assert_eq!((findings.updates, broken(&findings)), (2, BTreeSet::new()), "{:#?}", findings.breaches());
    assert_eq!(findings.invariants[&Invariant::Participation].standing(), Standing::Held);
}

/// What an upload is told is not the outcome of an update that began before it.
#[test]
fn an_upload_answers_for_its_own_update() {
    let mut run = Synthetic::new(4).boot().twist(Twist::TellSuccess).fault(Leaf::INSTALL, 2, EBADHASH).update();
    assert_eq!(broken(&run.judge().0), [Invariant::StopOnFailure].into());
    let begin = run.records.iter().position(|r| is_mark(r, Mark::UpdateBegin)).unwrap();
    let mark = run.records.remove(begin);
    let (_, installed) = last_call(&run, 2, Leaf::INSTALL);
    insert(&mut run, installed + 1, [mark]);
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}

/// A CPU outside the section that runs a step's call is told of once, and says nothing of the order inside.
#[test]
fn a_call_outside_the_section_says_nothing_of_lockstep() {
    let mut run = Synthetic::plain(4, 1);
    run.setup.lps = 5;
    let (_, initialised) = last_call(&run, 0, Leaf::LP_INIT);
    insert(&mut run, initialised + 1, call(4, Leaf::INSTALL, 0));
    let findings = run.judge().0;
    assert!(broken(&findings).contains(&Invariant::Participation), "{:#?}", findings.breaches());
    assert!(!broken(&findings).contains(&Invariant::Lockstep), "{:#?}", findings.breaches());
}

/// An interrupt may carry any numbers: it is no digest of a TD.
#[test]
fn an_interrupt_is_no_digest() {
    let mut run = Synthetic::new(4).boot().tds(1).update();
    let (_, updated) = last_call(&run, 0, Leaf::UPDATE);
    let taken = Record { lp: 2, kind: Kind::Interrupt as u16, a: 7, b: 9, c: 2, ..Record::default() };
    insert(&mut run, updated + 1, [taken]);
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}
