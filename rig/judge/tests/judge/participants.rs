//! Who takes part in an update: the CPUs that were online at its start, all of them, and no other.

use super::edit::{broken, is_mark, keep_from, last_call, seen, stores, why_not};
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::{Invariant, RunEnd, Standing, Step};
use rig_wire::event::{Kind, Mark, Record};
use rstest::rstest;

const EBADHASH: u64 = 0x8000_0000_0002_0001;

/// The uploader has its outcome while the last CPU to come is still inside its part of a step: it did not do that part.
#[rstest]
#[case::install(Leaf::INSTALL, Step::CpuInstall)]
#[case::lp_init(Leaf::LP_INIT, Step::CpuInit)]
fn a_call_that_never_came_back_is_no_part(#[case] leaf: Leaf, #[case] step: Step) {
    let mut run = Synthetic::plain(4, 1);
    let lp = (0..4).max_by_key(|lp| last_call(&run, *lp, leaf)).unwrap();
    let (enter, _) = last_call(&run, lp, leaf);
    let ends = |r: &Record| r.lp != lp && r.kind == Kind::SeamcallExit as u16 && Leaf::of(r) == leaf;
    keep_from(&mut run, enter + 1, |r| is_mark(r, Mark::UpdateEnd) || ends(r));
    let findings = run.judge().0;
    let breaches = findings.breaches();
    let breach = breaches.iter().find(|breach| breach.invariant == Invariant::Participation).unwrap();
    assert_eq!((breach.lps.as_slice(), breach.step), (&[lp][..], Some(step)));
    let words = format!("1 CPU(s) did not run {} to its end though the update went on", leaf.name());
    assert_eq!((breach.update, &breach.seen), (Some(1), &words));
    assert_eq!(breach.expected, format!("each of the 4 online CPUs runs {} once", leaf.name()));
}

/// Where entries into the section are not recorded, a CPU that was not online must not take part.
#[test]
fn a_cpu_that_was_not_online_takes_no_part() {
    let mut run = Synthetic::plain(4, 1).seamcalls_only();
    run.setup.online = vec![0, 1, 2];
    let findings = run.judge().0;
    assert_eq!(broken(&findings), [Invariant::Participation].into());
    assert_eq!(seen(&findings, Invariant::Participation), "CPU 3, which was not online, runs INSTALL");
}

/// Where they are recorded, one that entered with the others came online unseen.
#[test]
fn a_cpu_that_came_online_unseen_takes_part() {
    let mut run = Synthetic::plain(4, 1);
    run.setup.online = vec![0, 1, 2];
    let (findings, first) = run.judge();
    assert_eq!(first, None);
    assert_eq!(findings.invariants[&Invariant::Participation].standing(), Standing::Held);
}

/// In a hang, those that never came are missed only if others wait for them in vain.
#[rstest]
#[case::others_wait(true, false, true)]
#[case::nobody_acknowledged_yet(false, false, false)]
#[case::a_cpu_failed(true, true, false)]
fn whoever_never_came_is_missed_where_others_wait(#[case] acked: bool, #[case] failed: bool, #[case] missed: bool) {
    let mut run = Synthetic::new(4).boot().twist(Twist::OneCpuOnly);
    if failed {
        run = run.fault(Leaf::SHUTDOWN, 0, EBADHASH);
    }
    let mut run = run.update();
    let acks = run.setup.subject.num_ack.clone();
    if !acked {
        let first_ack = run.records.iter().position(|r| stores(&run, r, &acks)).unwrap();
        run.records.truncate(first_ack);
    }
    run.records.retain(|r| !is_mark(r, Mark::UpdateEnd));
    run.renumber();
    run.end = RunEnd::Hung { what: "update 1 makes no progress".into() };
    let findings = run.judge().0;
    assert_eq!(broken(&findings).contains(&Invariant::Participation), missed, "{:#?}", findings.breaches());
    if missed {
        let words = "they never entered it, while others wait inside for their acknowledgement";
        assert_eq!(seen(&findings, Invariant::Participation), words);
        let breach = &findings.breaches()[0];
        assert_eq!((breach.lps.as_slice(), breach.step), (&[1, 2, 3][..], Some(Step::Shutdown)));
    }
}

/// In a hang the steps that lie behind everybody are judged, by SEAMCALLs alone as well.
#[test]
fn a_hang_does_not_hide_a_step_that_was_left_out() {
    let mut run = Synthetic::new(4).boot().twist(Twist::NeverReturns(Step::RunUpdate)).update().seamcalls_only();
    let (enter, exit) = last_call(&run, 2, Leaf::INSTALL);
    run.records.drain(enter..=exit).for_each(drop);
    let (enter, exit) = last_call(&run, 0, Leaf::UPDATE);
    run.records.truncate(exit.min(enter + 1));
    run.renumber();
    run.end = RunEnd::Hung { what: "update 1 makes no progress".into() };
    let findings = run.judge().0;
    assert_eq!(broken(&findings), [Invariant::Participation, Invariant::Progress].into(), "{:#?}", findings.breaches());
    let breach = &findings.breaches()[0];
    assert_eq!((breach.lps.as_slice(), breach.step), (&[2][..], Some(Step::CpuInstall)));
}

/// A set of online CPUs that is stale gives way to the kernel's count only if as many entered.
#[test]
fn a_count_that_too_few_cpus_bear_out_decides_nothing() {
    let mut run = Synthetic::new(4).boot().twist(Twist::OneCpuOnly).update();
    run.setup.lps = 6;
    run.setup.online = (0..6).collect();
    let findings = run.judge().0;
    assert_eq!(broken(&findings), [Invariant::Participation, Invariant::Progress].into());
    assert_eq!(findings.breaches()[0].lps, [1, 2, 3, 4, 5]);
}

/// Changes of the online set are seen by the function that makes them, or by the count that the kernel reads.
#[rstest]
#[case::both(true, true, None)]
#[case::the_function(true, false, None)]
#[case::the_count(false, true, None)]
#[case::neither(false, false, Some("changes of the online set were not recorded"))]
fn either_sign_of_a_change_suffices(#[case] function: bool, #[case] count: bool, #[case] why: Option<&str>) {
    let mut run = Synthetic::plain(4, 1);
    if !function {
        run.setup.functions.pop();
    }
    if !count {
        let last = run.setup.watches.pop().map(|_| run.setup.watches.len() as u64);
        run.records.retain(|r| r.kind != Kind::Watch as u16 || Some(r.a) != last);
        run.renumber();
    }
    let findings = run.judge().0;
    match why {
        None => assert_eq!(findings.invariants[&Invariant::StableCpus].standing(), Standing::Held),
        Some(why) => assert_eq!(why_not(&findings, Invariant::StableCpus), why),
    }
}

/// Without an update the reason is that there was none, if changes would have been seen.
#[rstest]
#[case::both(true, true)]
#[case::the_function(true, false)]
#[case::the_count(false, true)]
fn an_update_that_nobody_entered_shows_no_stable_set(#[case] function: bool, #[case] count: bool) {
    let mut run = Synthetic::plain(4, 1);
    let state = run.setup.subject.state.clone();
    let begins = run.records.iter().position(|r| stores(&run, r, &state)).unwrap();
    run.records.truncate(begins + 1);
    run.records.retain(|r| r.kind != Kind::Mark as u16);
    run.renumber();
    if !function {
        run.setup.functions.pop();
    }
    if !count {
        run.setup.watches.pop();
    }
    assert_eq!(why_not(&run.judge().0, Invariant::StableCpus), "no update came to its end");
}
