//! The state machine's own words: how the state goes on, and what each CPU reads of it.

use super::edit::{broken, insert, last_call, seen, stores};
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::{Invariant, Standing, Step};
use rig_wire::event::{Kind, Record, flags};
use rstest::rstest;
use std::collections::BTreeSet;

const LOCKSTEP: Invariant = Invariant::Lockstep;

fn state(lp: u16, value: u64, flags: u32) -> Record {
    Record { lp, kind: Kind::Watch as u16, flags, b: value, ..Record::default() }
}

/// Where a CPU begins its work in `CPU_INIT`.
fn initialising(run: &Synthetic, lp: u16) -> usize {
    last_call(run, lp, Leaf::LP_INIT).0
}

#[rstest]
#[case::read_back(state(2, 1, 0), "CPU 2 reads SHUTDOWN after it read CPU_INIT")]
#[case::stored_again(state(2, 3, flags::STORE), "CPU 2 stores CPU_INIT while the state is CPU_INIT")]
#[case::stored_back(state(2, 2, flags::STORE), "CPU 2 stores CPU_INSTALL while the state is CPU_INIT")]
#[case::seen_early(state(2, 4, 0), "CPU 2 sees the state advance from CPU_INIT to RUN_UPDATE, not acknowledged by")]
#[case::stored_early(
    state(2, 4, flags::STORE),
    "CPU 2 advances the state from CPU_INIT to RUN_UPDATE, not acknowledged by"
)]
#[case::two_at_once(state(2, 5, flags::STORE), "CPU 2 advances the state from CPU_INIT to DONE, not acknowledged by")]
#[case::read_again(state(2, 3, 0), "")]
fn the_state_goes_up_by_one_when_all_acknowledged(#[case] record: Record, #[case] words: &str) {
    let mut run = Synthetic::plain(4, 1);
    let at = initialising(&run, 2);
    insert(&mut run, at, [record]);
    let findings = run.judge().0;
    if words.is_empty() {
        assert_eq!(broken(&findings), BTreeSet::new());
    } else {
        assert!(seen(&findings, LOCKSTEP).starts_with(words), "{}", seen(&findings, LOCKSTEP));
        assert!(findings.breaches()[0].events.iter().any(|event| event.seq == at as u64));
        assert!(findings.breaches()[0].events.len() > 1, "what was before is cited, too");
    }
}

/// A subject that stores no state behind DONE comes to its end all the same.
#[test]
fn an_update_is_over_when_all_acknowledged_the_last_state() {
    let mut run = Synthetic::plain(4, 1);
    let over = Step::Done.number() + 1;
    run.records.retain(|r| !(r.kind == Kind::Watch as u16 && r.a == 0 && r.b == over));
    run.renumber();
    let findings = run.judge().0;
    assert_eq!(broken(&findings), BTreeSet::new());
    assert_eq!(findings.invariants[&LOCKSTEP].standing(), Standing::Held);
    let early = Synthetic::new(4).boot().twist(Twist::LeaveAfter(Step::RunUpdate)).update().judge().0.breaches();
    assert_eq!((early[0].invariant, early[0].lps.as_slice()), (LOCKSTEP, &[0, 1, 2, 3][..]));
}

/// The state's own advances show that CPUs go in step, where no SEAMCALL is recorded.
#[test]
fn advances_suffice_for_lockstep() {
    let mut run = Synthetic::plain(4, 1);
    let calls = [Kind::SeamcallEnter as u16, Kind::SeamcallExit as u16];
    run.records.retain(|r| !calls.contains(&r.kind));
    run.renumber();
    assert_eq!(run.judge().0.invariants[&LOCKSTEP].standing(), Standing::Held);
}

/// Atomic counters or not: an advance for which the counter has too few is told at once.
#[rstest]
fn an_early_advance_is_told_where_it_is_made(#[values(false, true)] under_lock: bool) {
    let mut run = Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update();
    run.setup.subject.counts_acks_under_lock = under_lock;
    let words = seen(&run.judge().0, LOCKSTEP);
    assert!(words.contains(" from SHUTDOWN to CPU_INSTALL, not acknowledged by CPU "), "{words}");
}

/// A breach is in the step in which its CPU is, though others went on.
#[test]
fn a_cpu_that_lags_is_in_its_own_step() {
    let mut run = Synthetic::plain(4, 1);
    let name = run.setup.subject.state.clone();
    let advance = run.records.iter().position(|r| stores(&run, r, &name) && r.b == 2).unwrap();
    let sees = advance
        + run.records[advance..].iter().position(|r| r.a == 0 && r.b == 2 && r.flags == 0 && r.kind == 3).unwrap();
    run.records[sees].flags |= flags::IF;
    let breaches = run.judge().0.breaches();
    assert_eq!((breaches[0].invariant, breaches[0].step), (Invariant::InterruptsOff, Some(Step::Shutdown)));
}

/// A read on another CPU in a step of all CPUs is a foreign call, and none of the lead's work.
#[test]
fn a_read_in_a_step_of_all_cpus_is_foreign() {
    let mut run = Synthetic::plain(4, 1);
    let at = initialising(&run, 2);
    insert(&mut run, at, super::edit::call(2, Leaf::SYS_RD, 0x8900_0001_0000_0000));
    assert_eq!(broken(&run.judge().0), [Invariant::UpdateOnly].into());
}

/// A CPU that counts itself as failed has failed, whatever its SEAMCALLs returned; a count of none says nothing.
#[rstest]
#[case::counted(1, &[Invariant::StopOnFailure])]
#[case::none(0, &[])]
fn a_cpu_may_fail_without_a_seamcall(#[case] count: u64, #[case] breaks: &[Invariant]) {
    let mut run = Synthetic::plain(4, 1);
    let at = initialising(&run, 2);
    insert(&mut run, at, [Record { a: 2, ..state(2, count, flags::STORE) }]);
    assert_eq!(broken(&run.judge().0), breaks.iter().copied().collect());
}

/// What the lead reads behind UPDATE is for people: if it cannot be read, no update failed.
#[test]
fn a_failed_read_behind_update_is_no_failure() {
    let mut run = Synthetic::plain(4, 1);
    let (_, read) = last_call(&run, 0, Leaf::SYS_RD);
    run.records[read].b = 0xc000_0c00_0000_0000;
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}

/// After a CPU failed the state itself must not go on, though no SEAMCALL follows.
#[test]
fn a_state_that_goes_on_after_a_failure_is_caught() {
    let mut run = Synthetic::plain(4, 1);
    let (_, updated) = last_call(&run, 0, Leaf::UPDATE);
    insert(&mut run, updated + 1, [Record { a: 2, ..state(2, 1, flags::STORE) }]);
    let findings = run.judge().0;
    assert_eq!(broken(&findings), [Invariant::StopOnFailure].into());
    assert!(seen(&findings, Invariant::StopOnFailure).ends_with(" goes on to DONE"));
}

/// All CPUs leave in a state that nobody acknowledged: all of them are named.
#[test]
fn whoever_left_early_is_named() {
    let breaches = Synthetic::new(4).boot().twist(Twist::LeaveAfter(Step::Shutdown)).update().judge().0.breaches();
    let breach = breaches.iter().find(|breach| breach.invariant == LOCKSTEP).unwrap();
    assert_eq!((breach.lps.as_slice(), breach.step), (&[0, 1, 2, 3][..], Some(Step::CpuInstall)));
}

/// A state that was seen before the record of its store is stored once all the same.
#[test]
fn a_state_that_was_seen_first_is_stored_once() {
    let mut run = Synthetic::plain(4, 1);
    let name = run.setup.subject.state.clone();
    let store = run.records.iter().position(|r| stores(&run, r, &name) && r.b == 2).unwrap();
    let is_enter = |r: &Record| r.kind == Kind::SeamcallEnter as u16 && Leaf::of(r) == Leaf::INSTALL;
    let enter = run.records.iter().position(is_enter).unwrap();
    let moved = run.records.remove(store);
    insert(&mut run, enter, [moved, moved]);
    let words = format!("CPU {} stores CPU_INSTALL while the state is CPU_INSTALL", moved.lp);
    assert_eq!(seen(&run.judge().0, LOCKSTEP), words);
}

/// Probes see what a CPU reads at some places only, and a call of the lead's thread may lie inside another.
#[test]
fn what_probes_do_not_see_is_no_breach() {
    let mut unread = Synthetic::new(4).boot().twist(Twist::AckUnread(Step::CpuInit)).update();
    unread.setup.is_probed = true;
    assert_eq!(broken(&unread.judge().0), BTreeSet::new());

    let mut nested = Synthetic::plain(4, 1);
    nested.setup.is_probed = true;
    let (begins, _) = last_call(&nested, 0, Leaf::SHUTDOWN);
    let [enter, _] = super::edit::call(0, Leaf::SYS_RD, 0x8900_0001_0000_0000);
    insert(&mut nested, begins, [enter]);
    assert_eq!(broken(&nested.judge().0), BTreeSet::new());
}
