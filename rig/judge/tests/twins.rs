//! Every invariant has a busted twin: a timeline in which exactly this invariant breaks.

use rig_judge::finding::Standing;
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::{Breach, Finding, Findings, Invariant, Step};
use rig_wire::event::{Kind, Record, flags};
use rstest::rstest;
use std::collections::BTreeSet;

const EBADHASH: u64 = 0x8000_0000_0002_0001;

fn broken(findings: &Findings) -> BTreeSet<Invariant> {
    findings.breaches().iter().map(|b| b.invariant).collect()
}

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

/// An invariant of which nothing was seen never counts as held.
#[test]
fn nothing_is_held_in_an_empty_run() {
    let (findings, _) = Synthetic::new(4).judge();
    for (invariant, finding) in &findings.invariants {
        assert_eq!(finding.standing(), Standing::NotApplicable, "{invariant}");
    }
}

/// Whether a record stores to the subject's word of this name.
fn stores(run: &Synthetic, record: &Record, name: &str) -> bool {
    let word = run.setup.watches.iter().position(|w| w.name == name).unwrap() as u64;
    record.kind == Kind::Watch as u16 && record.a == word && record.flags & flags::STORE != 0
}

/// Atomic counters on four CPUs: the third acknowledgement of `step` is recorded only after the state advanced. Also its place.
fn recorded_late(step: Step) -> (Synthetic, usize) {
    let mut run = Synthetic::new(4).boot().update();
    run.setup.subject.counts_acks_under_lock = false;
    let (state, acks) = (run.setup.subject.state.clone(), run.setup.subject.num_ack.clone());
    let advance = run.records.iter().position(|r| stores(&run, r, &state) && r.b == step.number() + 1).unwrap();
    let ack = run.records[..advance].iter().rposition(|r| stores(&run, r, &acks) && r.b == 3).unwrap();
    let moved = run.records.remove(ack);
    run.records.insert(advance, moved);
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
