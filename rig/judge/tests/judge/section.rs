//! What may run while an update is under way, and in which order.

use super::edit::{broken, call, insert, is_mark, keep_from, last_call, seen, why_not};
use super::twins::recorded_late;
use rig_judge::synthetic::Synthetic;
use rig_judge::timeline::Leaf;
use rig_judge::{Invariant, RunEnd, Step};
use rig_wire::event::{Kind, Mark, Record, flags};
use rstest::rstest;
use std::collections::BTreeSet;

const EBADHASH: u64 = 0x8000_0000_0002_0001;
/// A handoff field, a version field, and one that has nothing to do with an update: the class is in bits 61:56.
const HANDOFF: u64 = 0x8900_0001_0000_0000;
const VERSION: u64 = 0x0800_0001_0000_0003;
const OTHER_CLASSES: [u64; 3] = [0x0700_0001_0000_0000, 0x0a00_0003_0000_0008, 0x9100_0001_0000_0008];

/// The lead reads its handoff and version fields between SHUTDOWN and UPDATE, and nobody reads anything else.
#[rstest]
#[case::handoff(0, HANDOFF, None)]
#[case::version(0, VERSION, None)]
#[case::another_class(0, OTHER_CLASSES[0], Some(Invariant::UpdateOnly))]
#[case::a_class_above(0, OTHER_CLASSES[1], Some(Invariant::UpdateOnly))]
#[case::a_class_with_high_bits(0, OTHER_CLASSES[2], Some(Invariant::UpdateOnly))]
#[case::another_cpu(2, HANDOFF, Some(Invariant::LeadOnly))]
fn between_shutdown_and_update_the_lead_reads_its_fields(
    #[case] lp: u16,
    #[case] field: u64,
    #[case] breaks: Option<Invariant>,
) {
    let mut run = Synthetic::new(4).boot().update();
    let (_, shut_down) = last_call(&run, 0, Leaf::SHUTDOWN);
    insert(&mut run, shut_down + 1, call(lp, Leaf::SYS_RD, field));
    let findings = run.judge().0;
    assert_eq!(broken(&findings), breaks.into_iter().collect(), "{:#?}", findings.breaches());
}

/// Whoever is inside a SEAMCALL when SHUTDOWN begins is caught, but for the lead itself, and for the lead's work elsewhere.
#[rstest]
#[case::another_cpu(2, Leaf::VP_ENTER, Some(Invariant::UpdateOnly))]
#[case::a_read_on_another_cpu(2, Leaf::SYS_RD, Some(Invariant::LeadOnly))]
fn no_seamcall_is_under_way_at_shutdown(#[case] lp: u16, #[case] leaf: Leaf, #[case] breaks: Option<Invariant>) {
    let mut run = Synthetic::new(4).boot().update();
    let (begins, ends) = last_call(&run, 0, Leaf::SHUTDOWN);
    let [enter, exit] = call(lp, leaf, 0);
    insert(&mut run, ends, [exit]);
    insert(&mut run, begins, [enter]);
    let findings = run.judge().0;
    assert_eq!(broken(&findings), breaks.into_iter().collect(), "{:#?}", findings.breaches());
}

/// A SHUTDOWN that failed and is made again breaks what is said of SHUTDOWN, and goes on to no later step.
#[test]
fn a_second_shutdown_is_no_later_step() {
    let mut run = Synthetic::new(4).boot().fault(Leaf::SHUTDOWN, 0, EBADHASH).update();
    let (_, ends) = last_call(&run, 0, Leaf::SHUTDOWN);
    insert(&mut run, ends + 1, call(0, Leaf::SHUTDOWN, 0));
    assert_eq!(broken(&run.judge().0), [Invariant::LeadOnly].into());
}

/// A failing exit of the section is no read of what SHUTDOWN needs.
#[test]
fn a_shutdown_behind_a_cpu_that_failed_otherwise_is_no_later_step() {
    let mut run = Synthetic::new(4).boot().update();
    let (begins, _) = last_call(&run, 0, Leaf::SHUTDOWN);
    let word = run.setup.watches.iter().position(|w| w.name == run.setup.subject.num_failed).unwrap() as u64;
    let failed = Record { lp: 1, kind: Kind::Watch as u16, flags: flags::STORE, a: word, b: 1, ..Record::default() };
    let leaves = last_call(&run, 0, Leaf::SHUTDOWN).1;
    run.records.truncate(leaves + 1);
    insert(&mut run, begins, [failed]);
    run.end = RunEnd::Hung { what: "update 1 makes no progress".into() };
    let (_, first) = run.judge();
    assert_eq!(first, None);
}

/// The counter shows an acknowledgement of which no record ever comes, since nothing more is recorded of its CPU.
#[test]
fn an_acknowledgement_that_is_never_recorded_is_missed_at_the_end() {
    let (mut run, place) = recorded_late(Step::CpuInstall);
    let lp = run.records[place].lp;
    keep_from(&mut run, place, |r| r.lp != lp);
    // The others go on to the end of the upload only if nobody looks at what they acknowledge without it.
    let end = run.records.iter().position(|r| is_mark(r, Mark::UpdateEnd)).unwrap();
    let end = run.records.remove(end);
    run.records.truncate(place);
    run.records.push(end);
    run.renumber();
    let findings = run.judge().0;
    let words = seen(&findings, Invariant::Lockstep);
    assert!(words.ends_with("advances the state, and they never acknowledge it"), "{words}");
    let breaches = findings.breaches();
    let breach = breaches.iter().find(|breach| breach.invariant == Invariant::Lockstep).unwrap();
    assert_eq!((breach.lps.as_slice(), breach.update), (&[lp][..], Some(1)));
}

/// A CPU may see a state before the record of its store comes; the step began with the store all the same.
#[test]
fn a_state_that_is_seen_before_its_store_is_recorded_is_lawful() {
    let mut run = Synthetic::new(4).boot().update();
    let stores_install = |r: &Record| r.kind == Kind::Watch as u16 && (r.a, r.b, r.flags) == (0, 2, flags::STORE);
    let store = run.records.iter().position(stores_install).unwrap();
    let is_enter = |r: &Record| r.kind == Kind::SeamcallEnter as u16 && Leaf::of(r) == Leaf::INSTALL;
    let enter = run.records.iter().position(is_enter).unwrap();
    let moved = run.records.remove(store);
    let began_ns = moved.guest_ns + 777;
    run.records.insert(enter, Record { guest_ns: began_ns, ..moved });
    run.renumber();
    let (findings, first) = run.judge();
    assert_eq!((first, broken(&findings)), (None, BTreeSet::new()));
    let step = findings.statistics.steps.iter().find(|step| step.step == Step::CpuInstall).unwrap();
    assert_eq!(step.began_ns, began_ns);
}

/// Leaves that the emulated firmware does not model are counted by their ends, each leaf for itself.
#[test]
fn calls_of_leaves_that_are_not_modelled_are_counted() {
    let mut run = Synthetic::new(4).boot();
    for (lp, leaf) in [(0, 69), (1, 69), (2, 37)] {
        run.records.extend(call(lp, Leaf(leaf), 0).map(|r| Record { flags: flags::UNMODELLED, ..r }));
    }
    run.renumber();
    let counted = run.judge().0.unmodelled;
    let counted: Vec<(u64, &str, u64)> = counted.iter().map(|u| (u.leaf, u.name.as_str(), u.calls)).collect();
    assert_eq!(counted, [(37, "SYS.RDALL", 1), (69, "SYS.DISABLE", 2)]);
}

/// By SEAMCALLs alone: whoever is still inside a call of one step when another CPU begins the next is not through with it.
#[test]
fn a_step_does_not_begin_while_a_cpu_is_inside_the_one_before() {
    let mut run = Synthetic::plain(4, 1).seamcalls_only();
    let lp = (0..4).max_by_key(|lp| last_call(&run, *lp, Leaf::INSTALL)).unwrap();
    let (_, exit) = last_call(&run, lp, Leaf::INSTALL);
    let begins = exit + run.records[exit..].iter().position(|r| Leaf::of(r) == Leaf::SYS_INIT).unwrap();
    let other = (run.records[begins].lp + 1) % 4;
    run.records[begins].lp = if run.records[begins].lp == lp { other } else { run.records[begins].lp };
    run.records[begins + 1].lp = run.records[begins].lp;
    let exit = run.records.remove(exit);
    run.records.insert(begins, exit);
    run.renumber();
    let breaches = run.judge().0.breaches();
    assert_eq!(breaches.len(), 1, "{breaches:#?}");
    let begun_by = run.records[begins - 1].lp;
    assert_eq!(breaches[0].seen, format!("CPU {begun_by} begins CPU_INIT while CPU {lp} is inside CPU_INSTALL"));
    assert_eq!((breaches[0].invariant, breaches[0].lps.as_slice()), (Invariant::Lockstep, &[begun_by, lp][..]));
}

/// Work of a step behind the beginning of a later one is told with the CPU that began the later one first.
#[test]
fn work_that_comes_too_late_is_told_with_who_went_on_first() {
    let mut run = Synthetic::plain(4, 1).seamcalls_only();
    let (_, last) = (0..4).map(|lp| last_call(&run, lp, Leaf::LP_INIT)).max().unwrap();
    insert(&mut run, last + 1, call(3, Leaf::INSTALL, 0));
    let in_update = last_call(&run, 0, Leaf::SHUTDOWN).0;
    let first = run.records[in_update..].iter().find(|r| Leaf::of(r) == Leaf::SYS_INIT).unwrap().lp;
    let findings = run.judge().0;
    let words = format!("CPU 3 begins CPU_INSTALL after CPU {first} began a later step");
    assert_eq!(seen(&findings, Invariant::Lockstep), words);
}

/// By SEAMCALLs alone, interrupts are judged at those that are an update's own.
#[rstest]
#[case::a_steps_call(Leaf::INSTALL, true)]
#[case::a_foreign_call(Leaf::VP_ENTER, false)]
fn interrupts_are_judged_at_the_updates_own_calls(#[case] leaf: Leaf, #[case] breaks: bool) {
    let mut run = Synthetic::plain(4, 1).seamcalls_only();
    let (_, shut_down) = last_call(&run, 0, Leaf::SHUTDOWN);
    insert(&mut run, shut_down + 1, call(2, leaf, 0));
    run.records[shut_down + 1].flags = flags::IF;
    assert_eq!(broken(&run.judge().0).contains(&Invariant::InterruptsOff), breaks);
}

/// A record that is none of an interrupt says nothing of interrupts.
#[test]
fn a_digest_is_no_interrupt() {
    let mut run = Synthetic::new(4).boot().tds(1).update();
    let digest = |r: &&mut Record| r.kind == Kind::TdDigest as u16;
    run.records.iter_mut().filter(digest).for_each(|r| r.flags |= flags::IF);
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}

/// P-SEAMLDR refuses a CPU because another is inside, or for another reason.
#[rstest]
#[case::another_is_inside(flags::VMFAIL_INVALID | flags::CONTENDED, true)]
#[case::another_reason(flags::VMFAIL_INVALID, false)]
fn a_refusal_is_told_by_its_reason(#[case] flags: u32, #[case] breaks: bool) {
    let mut run = Synthetic::new(4).boot().fault(Leaf::INSTALL, 2, EBADHASH).update();
    let (_, exit) = last_call(&run, 2, Leaf::INSTALL);
    run.records[exit].flags = flags;
    let findings = run.judge().0;
    assert_eq!(broken(&findings), breaks.then_some(Invariant::SerialLoader).into_iter().collect());
    if breaks {
        let words = "P-SEAMLDR refuses CPU 2's INSTALL because another LP is inside";
        assert_eq!(seen(&findings, Invariant::SerialLoader), words);
        assert_eq!(findings.breaches()[0].events.len(), 2, "entry and exit");
    }
}

/// Calls of P-SEAMLDR outside the section are not the update's.
#[test]
fn an_update_that_never_called_the_loader_shows_nothing_of_it() {
    let run = Synthetic::new(4).boot().fault(Leaf::SHUTDOWN, 0, EBADHASH).update();
    assert_eq!(why_not(&run.judge().0, Invariant::SerialLoader), "no update called P-SEAMLDR");
}
