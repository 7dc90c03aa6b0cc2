//! Every invariant has a busted twin: a timeline in which exactly this invariant breaks.

use super::edit::{broken, insert, stores};
use rig_judge::finding::Standing;
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::{Breach, Finding, Invariant, Step};
use rig_wire::event::{Kind, Mark, Record, flags};
use rstest::rstest;
use std::collections::BTreeSet;

const EBADHASH: u64 = 0x8000_0000_0002_0001;
const RND_NO_ENTROPY: u64 = 0x8000_0203_0000_0000;

fn twisted(twist: Twist) -> Synthetic {
    Synthetic::new(4).boot().tds(2).twist(twist).load().update()
}

/// A run of which it is known which CPUs are online.
fn observed(twist: Twist) -> Synthetic {
    let mut run = Synthetic::new(4).boot().twist(twist).update();
    run.setup.knows_online = true;
    run
}

fn failing(twist: Twist) -> Synthetic {
    Synthetic::new(4).boot().twist(twist).fault(Leaf::INSTALL, 2, EBADHASH).update()
}

/// Exactly these break, the first of them is the one that the online judge stops at, and its message is of use.
#[rstest]
#[case::state_advances_one_early(twisted(Twist::AdvanceEarly), &[Invariant::Lockstep])]
#[case::acknowledged_before_work(twisted(Twist::AckBeforeWork), &[Invariant::Lockstep])]
#[case::lead_step_everywhere(twisted(Twist::LeadStepEverywhere), &[Invariant::LeadOnly])]
#[case::update_twice(twisted(Twist::UpdateTwice), &[Invariant::LeadOnly])]
#[case::install_skipped(twisted(Twist::SkipInstall), &[Invariant::Participation])]
#[case::init_twice(twisted(Twist::InitTwice), &[Invariant::Participation])]
#[case::foreign_call_in_install(twisted(Twist::ForeignCall(Step::CpuInstall)), &[Invariant::UpdateOnly])]
#[case::foreign_call_in_init(twisted(Twist::ForeignCall(Step::CpuInit)), &[Invariant::UpdateOnly])]
#[case::interrupts_on_in_install(twisted(Twist::InterruptsOn(Step::CpuInstall)), &[Invariant::InterruptsOff])]
#[case::interrupts_on_in_shutdown(twisted(Twist::InterruptsOn(Step::Shutdown)), &[Invariant::InterruptsOff])]
#[case::interrupts_on_in_init(twisted(Twist::InterruptsOn(Step::CpuInit)), &[Invariant::InterruptsOff])]
#[case::loader_unlocked(twisted(Twist::UnlockedLoader), &[Invariant::SerialLoader])]
#[case::call_never_returns(twisted(Twist::NeverReturns(Step::CpuInit)), &[Invariant::Progress])]
#[case::cpu_comes_online(twisted(Twist::Hotplug), &[Invariant::StableCpus])]
#[case::td_altered(twisted(Twist::AlteredTd), &[Invariant::Preservation])]
#[case::td_lost(twisted(Twist::LostTd), &[Invariant::Preservation])]
#[case::td_sleeps(twisted(Twist::SleepingTd), &[Invariant::Preservation])]
#[case::load_without_interrupts(twisted(Twist::NoInterruptLoad), &[Invariant::Concurrency])]
#[case::kernel_warns(twisted(Twist::Warning), &[Invariant::QuietKernel])]
#[case::no_shutdown(Synthetic::new(4).boot().twist(Twist::Skip(Leaf::SHUTDOWN)).update(), &[Invariant::LeadOnly])]
#[case::no_sys_init(twisted(Twist::Skip(Leaf::SYS_INIT)), &[Invariant::LeadOnly])]
#[case::no_update(twisted(Twist::Skip(Leaf::UPDATE)), &[Invariant::LeadOnly])]
#[case::update_behind_the_section(twisted(Twist::UpdateBehind), &[Invariant::LeadOnly])]
#[case::install_behind_the_section(twisted(Twist::InstallBehind), &[Invariant::Participation])]
#[case::a_second_section(twisted(Twist::SecondSection), &[Invariant::Participation])]
#[case::state_goes_backwards(twisted(Twist::StateBackwards(Step::CpuInit)), &[Invariant::Lockstep])]
#[case::acknowledged_unread(twisted(Twist::AckUnread(Step::CpuInit)), &[Invariant::Lockstep])]
#[case::retried_for_ever(twisted(Twist::RetryForEver), &[Invariant::Participation])]
#[case::a_cpu_not_counted(observed(Twist::MiscountedCpus), &[Invariant::StableCpus])]
#[case::td_dead(twisted(Twist::DeadTd), &[Invariant::Preservation])]
#[case::td_sleeps_through_one_update(twisted(Twist::TdSleepsOnce).update(), &[Invariant::Preservation])]
#[case::nobody_acknowledges_the_end(twisted(Twist::LeaveAfter(Step::RunUpdate)), &[Invariant::Lockstep])]
#[case::one_state_more(twisted(Twist::OneStateMore), &[Invariant::Lockstep])]
#[case::everybody_leaves_early(twisted(Twist::LeaveAfter(Step::Shutdown)), &[Invariant::Lockstep, Invariant::LeadOnly, Invariant::Participation])]
#[case::failure_hidden(failing(Twist::HideFailure), &[Invariant::StopOnFailure])]
#[case::uploader_told_of_success(failing(Twist::TellSuccess), &[Invariant::StopOnFailure])]
// CPUs that spin on after a failure neither leave nor make progress; a section that some never entered goes nowhere.
#[case::failure_ignored(failing(Twist::IgnoreFailed), &[Invariant::StopOnFailure, Invariant::Progress])]
#[case::one_cpu_only(twisted(Twist::OneCpuOnly), &[Invariant::Participation, Invariant::Progress])]
fn is_caught_by(#[case] run: Synthetic, #[case] expected: &[Invariant]) {
    let (findings, first) = run.judge();
    let messages: Vec<String> = findings.breaches().iter().map(ToString::to_string).collect();
    assert_eq!(broken(&findings), expected.iter().copied().collect(), "{messages:#?}");
    if let Some(first) = first {
        assert!(expected.contains(&first.invariant), "{first}");
    }
    findings.breaches().iter().for_each(is_of_use);
}

fn is_of_use(breach: &Breach) {
    let text = breach.to_string();
    assert!(text.starts_with(breach.invariant.name()) && text.contains("expected: "), "{text}");
    let whole_run = matches!(breach.invariant, Invariant::Concurrency | Invariant::QuietKernel);
    assert!(
        whole_run
            || breach.update == Some(1)
            || breach.seen.contains("outside")
            || breach.invariant == Invariant::Preservation,
        "{text}"
    );
    assert!(!breach.seen.is_empty() && !breach.expected.is_empty() && !breach.events.is_empty(), "{text}");
    assert!(breach.events.is_sorted_by_key(|e| e.seq), "{text}");
}

/// A failure of which nobody told the uploader, as far as was read back.
#[test]
fn an_outcome_that_was_not_read_back_is_no_ground() {
    let findings = failing(Twist::UntoldOutcome).judge().0;
    assert_eq!(broken(&findings), BTreeSet::new());
    assert_eq!(findings.invariants[&Invariant::StopOnFailure].standing(), Standing::NotApplicable);
}

/// Where nobody tells which CPUs come and go, the kernel's count decides, and only there.
#[test]
fn a_miscount_is_seen_only_where_the_online_set_is() {
    let mut run = observed(Twist::MiscountedCpus);
    run.setup.knows_online = false;
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}

/// Each invariant says in which updates it held.
#[test]
fn what_is_held_has_its_updates() {
    let run = Synthetic::plain(4, 1).fault(Leaf::INSTALL, 2, EBADHASH).update();
    let findings = run.judge().0;
    let held = |invariant: Invariant| match &findings.invariants[&invariant] {
        Finding::Held { updates } => updates.clone(),
        other => panic!("{invariant}: {other:?}"),
    };
    assert_eq!((held(Invariant::Participation), held(Invariant::Lockstep)), (vec![1], vec![1, 2]));
    assert_eq!((held(Invariant::StopOnFailure), held(Invariant::QuietKernel)), (vec![2], vec![]));
}

/// The two mistakes in the state machine itself are caught at every size at which they can be seen.
#[rstest]
fn lockstep_is_judged_at_every_size(
    #[values(1, 2, 3, 16, 64)] lps: u16,
    #[values(Twist::AckBeforeWork, Twist::AdvanceEarly)] twist: Twist,
) {
    let (findings, first) = Synthetic::new(lps).boot().twist(twist).update().judge();
    // On one CPU, one acknowledgement early is none at all: the state never advances.
    let hangs = lps == 1 && twist == Twist::AdvanceEarly;
    let expected = if hangs { Invariant::Progress } else { Invariant::Lockstep };
    assert_eq!((broken(&findings), first.is_none()), ([expected].into(), hangs));
}

/// A CPU that went offline unseen (the recorder does not tell arguments) is not missed.
#[test]
fn the_kernels_count_of_cpus_outranks_a_stale_set() {
    let mut run = Synthetic::plain(4, 2);
    run.setup.lps = 6;
    run.setup.online = (0..6).collect();
    let (findings, first) = run.judge();
    assert_eq!((first, broken(&findings)), (None, BTreeSet::new()));
    assert_eq!(findings.invariants[&Invariant::Lockstep].standing(), Standing::Held);
    let mut run = Synthetic::new(4).boot().twist(Twist::AdvanceEarly).update();
    run.setup.lps = 6;
    run.setup.online = (0..6).collect();
    assert_eq!(broken(&run.judge().0), [Invariant::Lockstep].into());
}

/// A virtual CPU that was torn down is not missed; one that merely sleeps is.
#[rstest]
#[case::torn_down(0x1_0000_1000, Standing::Held)]
#[case::another_page(0x1_0000_2000, Standing::Broken)]
fn a_td_that_was_taken_down_need_not_run_again(#[case] page: u64, #[case] expected: Standing) {
    let mut run = Synthetic::new(4).boot().tds(1).twist(Twist::SleepingTd).update();
    for kind in [Kind::SeamcallEnter, Kind::SeamcallExit] {
        let operand = if kind == Kind::SeamcallEnter { page } else { 0 };
        run.records.push(Record { lp: 1, kind: kind as u16, a: Leaf::PAGE_RECLAIM.0, b: operand, ..Record::default() });
    }
    run.renumber();
    assert_eq!(run.judge().0.invariants[&Invariant::Preservation].standing(), expected);
}

/// Without the lock two CPUs may count the same acknowledgement; some seed shows it, and lockstep names it.
#[test]
fn a_lost_acknowledgement_is_caught() {
    let caught = (0..20).filter_map(|seed| {
        let (_, first) = Synthetic::new(16).seed(seed).boot().twist(Twist::UnlockedAck).update().judge();
        first
    });
    let invariants: BTreeSet<Invariant> = caught.map(|b| b.invariant).collect();
    assert_eq!(invariants, [Invariant::Lockstep].into());
}

#[rstest]
fn nothing_breaks_in_plain_runs(#[values(1, 2, 4, 16, 64, 255)] lps: u16, #[values(1, 3)] updates: u32) {
    let (findings, first) = Synthetic::plain(lps, updates).judge();
    assert_eq!(first, None);
    assert_eq!(findings.updates, updates);
    let standing = |i: Invariant| findings.invariants[&i].standing();
    for invariant in Invariant::ALL {
        let quiet = matches!(invariant, Invariant::Concurrency | Invariant::Preservation | Invariant::StopOnFailure);
        let expected = if quiet { Standing::NotApplicable } else { Standing::Held };
        assert_eq!(standing(invariant), expected, "{invariant}");
    }
}

#[rstest]
fn everything_holds_under_load(#[values(2, 4, 16)] lps: u16) {
    let (findings, first) = Synthetic::new(lps).boot().tds(3).load().update().load().update().judge();
    assert_eq!(first, None);
    for (invariant, finding) in &findings.invariants {
        let expected = if *invariant == Invariant::StopOnFailure { Standing::NotApplicable } else { Standing::Held };
        assert_eq!(finding.standing(), expected, "{invariant}");
    }
}

#[rstest]
#[case::shutdown(Leaf::SHUTDOWN, 0)]
#[case::install(Leaf::INSTALL, 3)]
#[case::sys_init(Leaf::LP_INIT, 2)]
#[case::update(Leaf::UPDATE, 0)]
fn a_kernel_that_stops_on_failure_is_right(#[case] leaf: Leaf, #[case] lp: u16) {
    let (findings, first) = Synthetic::new(4).boot().fault(leaf, lp, EBADHASH).update().judge();
    assert_eq!((first, broken(&findings)), (None, BTreeSet::new()));
    assert_eq!(findings.invariants[&Invariant::StopOnFailure].standing(), Standing::Held);
}

#[rstest]
fn seamcalls_alone_suffice_for_most(#[values(1, 4, 16)] lps: u16) {
    let (findings, first) = Synthetic::plain(lps, 2).seamcalls_only().judge();
    assert_eq!((first, findings.updates), (None, 2));
    for invariant in [Invariant::Participation, Invariant::Lockstep, Invariant::LeadOnly, Invariant::UpdateOnly] {
        assert_eq!(findings.invariants[&invariant].standing(), Standing::Held, "{invariant}");
    }
    assert_eq!(findings.invariants[&Invariant::StableCpus].standing(), Standing::NotApplicable);
}

/// Interrupts are enabled between two SEAMCALLs only: the records of words and functions show it, and so does an interrupt.
#[rstest]
#[case::at_a_word(Kind::Watch, true)]
#[case::at_the_entry(Kind::FunctionEnter, true)]
#[case::at_the_exit(Kind::FunctionExit, true)]
#[case::an_interrupt(Kind::Interrupt, true)]
#[case::outside(Kind::FunctionEnter, false)]
fn enabled_interrupts_are_seen_anywhere_in_the_section(#[case] kind: Kind, #[case] inside: bool) {
    let mut run = Synthetic::new(4).boot().update();
    let install = run.setup.functions.iter().position(|f| f.name == run.setup.subject.install_function).unwrap() as u64;
    let of = |kind: Kind| move |r: &Record| r.lp == 2 && r.kind == kind as u16 && r.a == install;
    let entry = run.records.iter().position(of(Kind::FunctionEnter)).unwrap();
    let at = match kind {
        Kind::Interrupt => {
            let taken = Record { lp: 2, kind: kind as u16, ..Record::default() };
            insert(&mut run, entry + 1, [taken, taken]);
            entry + 2
        }
        _ if !inside => run.records.iter().position(|r| r.lp == 2 && r.kind == kind as u16 && r.a != install).unwrap(),
        Kind::Watch => entry + run.records[entry..].iter().position(|r| r.lp == 2 && r.kind == kind as u16).unwrap(),
        _ => run.records.iter().position(of(kind)).unwrap(),
    };
    run.records[at].flags |= flags::IF;
    let findings = run.judge().0;
    let expected: BTreeSet<Invariant> = if inside { [Invariant::InterruptsOff].into() } else { BTreeSet::new() };
    assert_eq!(broken(&findings), expected);
    assert!(findings.breaches().iter().all(|breach| breach.events.iter().any(|cited| cited.seq == at as u64)));
}

/// A run that is finished has no update under way: one that nobody saw end is judged as it stands.
#[test]
fn an_update_that_is_open_when_all_is_done_is_judged() {
    let mut run = Synthetic::plain(4, 1);
    let exit = |r: &Record| r.lp == 3 && r.kind == Kind::FunctionExit as u16;
    let left = run.records.iter().position(exit).unwrap();
    run.records.truncate(left);
    run.records.retain(|r| r.kind != Kind::Mark as u16);
    let shutdown = |r: &Record| Leaf::of(r) == Leaf::LP_INIT && r.lp == 3;
    run.records.retain(|r| !shutdown(r) || r.kind == Kind::Watch as u16);
    run.renumber();
    assert_eq!(broken(&run.judge().0), [Invariant::Participation, Invariant::Progress].into());
}

/// A SHUTDOWN that fails leaves the old module as it was, and whoever may call it.
#[test]
fn seamcalls_behind_a_refused_shutdown_break_nothing() {
    let mut run = Synthetic::new(4).boot().fault(Leaf::SHUTDOWN, 0, EBADHASH).update();
    let is_end = |r: &Record| r.kind == Kind::SeamcallExit as u16 && Leaf::of(r) == Leaf::SHUTDOWN;
    let refused = run.records.iter().position(is_end).unwrap();
    let enter = |kind: Kind| Record { lp: 2, kind: kind as u16, a: Leaf::VP_ENTER.0, ..Record::default() };
    insert(&mut run, refused + 1, [enter(Kind::SeamcallEnter), enter(Kind::SeamcallExit)]);
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}

/// A SHUTDOWN that is made again: between two of them anybody may call, and while one is under way nobody, whatever failed before.
#[rstest]
#[case::between_two(0x8000_0203_0000_0000, false)]
#[case::while_one_is_under_way(0, true)]
fn seamcalls_beside_a_shutdown_that_comes_again(#[case] status: u64, #[case] inside: bool) {
    let mut run = Synthetic::new(4).boot().update();
    let of = |kind: Kind| move |r: &Record| r.kind == kind as u16 && Leaf::of(r) == Leaf::SHUTDOWN;
    let begins = run.records.iter().position(of(Kind::SeamcallEnter)).unwrap();
    let enter = run.records[begins];
    let foreign = |kind: Kind| Record { lp: 2, kind: kind as u16, a: Leaf::VP_ENTER.0, ..Record::default() };
    let (first, last) = (foreign(Kind::SeamcallEnter), foreign(Kind::SeamcallExit));
    let ends = |a: u64, b: u64| Record { kind: Kind::SeamcallExit as u16, a, b, ..enter };
    if inside {
        let word = run.setup.watches.iter().position(|w| w.name == run.setup.subject.num_failed).unwrap() as u64;
        let failed =
            [Record { lp: 1, kind: Kind::Watch as u16, flags: flags::STORE, a: word, b: 1, ..Record::default() }];
        insert(&mut run, begins + 1, [first, last]);
        insert(&mut run, begins, failed);
    } else {
        insert(&mut run, begins, [enter, ends(enter.a, status), first, last]);
    }
    let findings = run.judge().0;
    assert_eq!(broken(&findings).contains(&Invariant::UpdateOnly), inside, "{:#?}", findings.breaches());
    assert!(inside || broken(&findings).is_empty());
}

/// SHUTDOWN's argument could not be read, SHUTDOWN is called all the same, and fails.
#[test]
fn a_shutdown_behind_a_failed_read_is_caught_even_if_it_fails() {
    let mut run = Synthetic::new(4).boot().fault(Leaf::SHUTDOWN, 0, EBADHASH).update();
    let begins = run.records.iter().position(|r| Leaf::of(r) == Leaf::SHUTDOWN && r.kind == 1).unwrap();
    let read = run.records[..begins].iter().rposition(|r| Leaf::of(r) == Leaf::SYS_RD && r.kind == 2).unwrap();
    run.records[read].b = EBADHASH;
    assert_eq!(broken(&run.judge().0), [Invariant::StopOnFailure].into());
}

/// SYS.INIT fails, and CPUs go on to LP.INIT: with a status that is not retried, and with one that was retried to no avail.
#[rstest]
#[case::refused(EBADHASH, false, Some(Invariant::StopOnFailure))]
#[case::without_entropy(RND_NO_ENTROPY, false, Some(Invariant::StopOnFailure))]
#[case::retried_with_success(RND_NO_ENTROPY, true, None)]
#[case::refused_and_made_again(EBADHASH, true, Some(Invariant::Participation))]
fn an_lp_init_behind_a_failed_sys_init_is_caught(
    #[case] status: u64,
    #[case] again: bool,
    #[case] breaks: Option<Invariant>,
) {
    let mut run = Synthetic::new(4).boot().update();
    let is_end = |r: &Record| Leaf::of(r) == Leaf::SYS_INIT && r.kind == Kind::SeamcallExit as u16;
    let ends = run.records.iter().rposition(is_end).unwrap();
    let enters = run.records[..ends].iter().rposition(|r| Leaf::of(r) == Leaf::SYS_INIT).unwrap();
    let (enter, failed) = (run.records[enters], Record { b: status, ..run.records[ends] });
    if again {
        insert(&mut run, enters, [enter, failed]);
    } else {
        run.records[ends].b = status;
    }
    let (_, first) = run.judge();
    assert_eq!(first.map(|breach| breach.invariant), breaks);
}

/// An update that nobody was seen to enter holds nothing.
#[test]
fn nothing_is_held_of_an_update_that_nobody_entered() {
    let mut run = Synthetic::plain(4, 1);
    let begins = run.records.iter().position(|r| stores(&run, r, &run.setup.subject.state.clone())).unwrap();
    run.records.truncate(begins + 1);
    run.records.retain(|r| r.kind != Kind::Mark as u16 && r.kind != Kind::FunctionEnter as u16);
    run.renumber();
    let findings = run.judge().0;
    for (invariant, finding) in &findings.invariants {
        let quiet = *invariant == Invariant::QuietKernel;
        assert!(quiet || finding.standing() == Standing::NotApplicable, "{invariant}: {finding:?}");
    }
}

/// A virtual CPU that ran, was then refused, and never ran again: a refusal is no death, whatever bit 62 of its status says.
#[rstest]
#[case::refused(0xc000_0506_0000_0000, Standing::Broken)]
#[case::its_td_died(0x4000_0001_0000_0000, Standing::Held)]
fn a_refused_virtual_cpu_must_run_again(#[case] status: u64, #[case] expected: Standing) {
    let mut run = Synthetic::new(4).boot().tds(1).twist(Twist::SleepingTd);
    let entry = *run.records.iter().find(|r| Leaf::of(r) == Leaf::VP_ENTER && r.kind == 1).unwrap();
    run.records.push(entry);
    run.records.push(Record { kind: Kind::SeamcallExit as u16, b: status, ..entry });
    run.renumber();
    let findings = run.update().judge().0;
    assert_eq!(findings.invariants[&Invariant::Preservation].standing(), expected);
}

/// An engine that has yet to bring the other CPUs in when SHUTDOWN fails ends its update at the uploader's mark. The next one is
/// another.
#[test]
fn an_outcome_that_is_told_first_is_not_awaited_again() {
    let mut run = Synthetic::new(4).boot().fault(Leaf::SHUTDOWN, 0, EBADHASH).update();
    let is_mark = |r: &Record, mark: Mark| r.kind == Kind::Mark as u16 && r.a == mark as u64;
    let begin = run.records.iter().position(|r| is_mark(r, Mark::UpdateBegin)).unwrap();
    let acks = run.setup.subject.num_ack.clone();
    let mut alone = run.records.split_off(begin);
    alone.retain(|r| (r.lp == 0 || r.kind == Kind::Mark as u16) && !stores(&run, r, &acks));
    run.records.append(&mut alone);
    let mut next = Synthetic::new(4).update();
    next.records.retain(|r| r.kind != Kind::Console as u16);
    for mark in next.records.iter_mut().filter(|r| r.kind == Kind::Mark as u16) {
        mark.b += 1;
    }
    run.records.append(&mut next.records);
    run.renumber();
    let findings = run.judge().0;
    assert_eq!(broken(&findings), BTreeSet::new(), "{:#?}", findings.breaches());
    assert_eq!(findings.invariants[&Invariant::StopOnFailure].standing(), Standing::Held);
}

/// A virtual CPU that could not be entered before an update need not run after it.
#[test]
fn a_virtual_cpu_that_never_ran_is_not_missed() {
    let mut run = Synthetic::new(4).boot().tds(1);
    for (kind, b) in [(Kind::SeamcallEnter, 0x7000_0000), (Kind::SeamcallExit, 0xc000_0b00_0000_0000)] {
        run.records.push(Record { lp: 1, kind: kind as u16, a: Leaf::VP_ENTER.0, b, ..Record::default() });
    }
    run.renumber();
    let findings = run.update().judge().0;
    assert_eq!(broken(&findings), BTreeSet::new(), "{:#?}", findings.breaches());
}

/// A failing read of what SHUTDOWN needs is a failure of the update, too, and a kernel that goes on is wrong.
#[test]
fn a_failed_read_before_shutdown_that_is_ignored_is_caught() {
    let mut run = Synthetic::new(4).boot().update();
    let is_end = |r: &Record| r.kind == Kind::SeamcallExit as u16 && Leaf::of(r) == Leaf::SYS_RD;
    let begins = run.records.iter().position(|r| Leaf::of(r) == Leaf::SHUTDOWN && r.kind == Kind::SeamcallEnter as u16);
    let read = run.records[..begins.unwrap()].iter().rposition(is_end).unwrap();
    run.records[read].b = EBADHASH;
    assert_eq!(broken(&run.judge().0), [Invariant::StopOnFailure].into());
}

/// An invariant of which nothing was seen never counts as held.
#[test]
fn nothing_is_held_in_an_empty_run() {
    let (findings, _) = Synthetic::new(4).judge();
    for (invariant, finding) in &findings.invariants {
        assert_eq!(finding.standing(), Standing::NotApplicable, "{invariant}");
    }
}

/// Atomic counters on four CPUs: the third acknowledgement of `step`, a load and a store, is recorded only after the state
/// advanced. Also the store's place.
pub(crate) fn recorded_late(step: Step) -> (Synthetic, usize) {
    let mut run = Synthetic::new(4).boot().update();
    run.setup.subject.counts_acks_under_lock = false;
    let (state, acks) = (run.setup.subject.state.clone(), run.setup.subject.num_ack.clone());
    let word = run.setup.watches.iter().position(|w| w.name == acks).unwrap() as u64;
    let advance = run.records.iter().position(|r| stores(&run, r, &state) && r.b == step.number() + 1).unwrap();
    let ack = run.records[..advance].iter().rposition(|r| stores(&run, r, &acks) && r.b == 3).unwrap();
    let lp = run.records[ack].lp;
    let is_load = |r: &Record| r.lp == lp && r.kind == Kind::Watch as u16 && r.a == word && r.flags == 0;
    let load = run.records[..ack].iter().rposition(is_load).unwrap();
    for from in [ack, load] {
        let moved = run.records.remove(from);
        run.records.insert(if from == ack { advance } else { advance - 1 }, moved);
    }
    run.renumber();
    (run, advance)
}

#[rstest]
fn atomic_acknowledgements_may_be_recorded_after_the_advance(
    #[values(Step::Shutdown, Step::CpuInstall, Step::CpuInit)] step: Step,
) {
    let (findings, _) = recorded_late(step).0.judge();
    assert_eq!(broken(&findings), BTreeSet::new(), "{:#?}", findings.breaches());
}

/// The same records of a subject that counts under a lock are a breach: there the order of records is the order of things.
#[test]
fn locked_acknowledgements_may_not_be_recorded_after_the_advance() {
    let (mut run, _) = recorded_late(Step::CpuInstall);
    run.setup.subject.counts_acks_under_lock = true;
    assert_eq!(broken(&run.judge().0), [Invariant::Lockstep].into());
}

/// A CPU that goes on to something else never acknowledged.
#[test]
fn an_atomic_acknowledgement_that_never_comes_is_a_breach() {
    let (mut run, place) = recorded_late(Step::CpuInstall);
    run.records.remove(place);
    run.renumber();
    assert_eq!(broken(&run.judge().0), [Invariant::Lockstep].into());
}

/// Who acknowledged does not do the step's work after that, though its record came late.
#[test]
fn work_behind_a_late_acknowledgement_is_a_breach() {
    let (mut run, place) = recorded_late(Step::CpuInstall);
    let lp = run.records[place].lp;
    let call = run.records.iter().position(|r| r.lp == lp && Leaf::of(r) == Leaf::INSTALL).unwrap();
    let again: Vec<Record> = run.records[call..].iter().filter(|r| r.lp == lp).take(2).copied().collect();
    insert(&mut run, place + 1, again);
    let breaches = run.judge().0;
    assert!(broken(&breaches).contains(&Invariant::Lockstep), "{:#?}", breaches.breaches());
}

/// Each acknowledgement has a number of its own: also one that is recorded late, and also where the last number is right.
#[rstest]
#[case::in_time(2, 1)]
#[case::none_of_them(3, 9)]
fn an_atomic_count_that_two_cpus_store_is_a_breach(
    #[values(false, true)] late: bool,
    #[case] count: u64,
    #[case] instead: u64,
) {
    let mut run = if late { recorded_late(Step::CpuInstall).0 } else { Synthetic::new(4).boot().update() };
    run.setup.subject.counts_acks_under_lock = false;
    let (state, acks) = (run.setup.subject.state.clone(), run.setup.subject.num_ack.clone());
    let begins = run.records.iter().position(|r| stores(&run, r, &state) && r.b == Step::CpuInstall.number()).unwrap();
    let store =
        (begins..run.records.len()).find(|at| stores(&run, &run.records[*at], &acks) && run.records[*at].b == count);
    run.records[store.unwrap()].b = if late { 1 } else { instead };
    assert_eq!(broken(&run.judge().0), [Invariant::Lockstep].into());
}

#[rstest]
fn atomic_subjects_that_advance_early_are_caught(#[values(2, 4, 16)] lps: u16) {
    let mut run = Synthetic::new(lps).boot().twist(Twist::AdvanceEarly).update();
    run.setup.subject.counts_acks_under_lock = false;
    let (findings, _) = run.judge();
    assert_eq!(broken(&findings), [Invariant::Lockstep].into());
}

/// A recorder that says what it cannot see: it must not be told that it held, but a breach that it saw is one.
#[test]
fn what_cannot_be_observed_is_not_held() {
    let reason = "TDH.VP.ENTER cannot be probed";
    let blind = |mut run: Synthetic| {
        run.setup.unobservable = [(Invariant::UpdateOnly, reason.to_owned())].into();
        run.judge().0
    };
    let sound = blind(Synthetic::plain(4, 1));
    let not_applicable = sound.not_observed();
    let said = not_applicable.iter().find(|n| n.invariant == Invariant::UpdateOnly).map(|n| n.reason.as_str());
    assert_eq!(said, Some(reason));
    assert_eq!(sound.invariants[&Invariant::Lockstep].standing(), Standing::Held);
    let busted = blind(twisted(Twist::ForeignCall(Step::CpuInit)));
    assert_eq!(broken(&busted), [Invariant::UpdateOnly].into());
}
