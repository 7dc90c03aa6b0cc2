//! When a scenario's load shows what it is to show: LPs inside the module at once, from process and from interrupt context.

use super::edit::{broken, call, seen, why_not};
use rig_judge::synthetic::Synthetic;
use rig_judge::timeline::Leaf;
use rig_judge::{Findings, Invariant, RunEnd, Standing};
use rig_wire::event::{Record, flags};
use rstest::rstest;
use std::collections::BTreeSet;

const PROCESS: u32 = flags::CONTEXT_KNOWN;
const INTERRUPT: u32 = flags::CONTEXT_KNOWN | flags::HARDIRQ;
const UNKNOWN: u32 = 0;

/// A run that demands the load, and whose only SEAMCALLs are these, each of its LP and context. `at_once`: they overlap.
fn loaded(calls: &[(u16, Leaf, u32)], at_once: bool, end: RunEnd) -> Findings {
    let mut run = Synthetic::new(4);
    (run.setup.load.concurrency, run.end) = (true, end);
    let pair = |(lp, leaf, flags): &(u16, Leaf, u32)| call(*lp, *leaf, 0).map(|r| Record { flags: *flags, ..r });
    let pairs: Vec<[Record; 2]> = calls.iter().map(pair).collect();
    let (enters, exits) = (pairs.iter().map(|p| p[0]), pairs.iter().map(|p| p[1]));
    run.records = if at_once { enters.chain(exits).collect() } else { pairs.concat() };
    run.renumber();
    run.judge().0
}

#[rstest]
#[case::both_contexts(&[PROCESS, INTERRUPT], true, Standing::Held)]
#[case::both_one_after_the_other(&[PROCESS, INTERRUPT], false, Standing::Broken)]
#[case::one_context(&[INTERRUPT, INTERRUPT], true, Standing::Broken)]
#[case::one_of_them_unknown(&[PROCESS, UNKNOWN], true, Standing::Broken)]
#[case::as_many_of_each_and_one_unknown(&[PROCESS, INTERRUPT, UNKNOWN], false, Standing::Broken)]
#[case::none_known(&[UNKNOWN, UNKNOWN], true, Standing::NotApplicable)]
#[case::no_call_at_all(&[], false, Standing::Broken)]
fn the_load_is_judged_by_what_overlaps(#[case] contexts: &[u32], #[case] at_once: bool, #[case] expected: Standing) {
    let calls: Vec<(u16, Leaf, u32)> = (0..).zip(contexts).map(|(lp, flags)| (lp, Leaf::SYS_RD, *flags)).collect();
    let findings = loaded(&calls, at_once, RunEnd::Finished);
    assert_eq!(findings.invariants[&Invariant::Concurrency].standing(), expected);
}

#[test]
fn a_load_that_shows_too_little_is_told_in_figures() {
    let rd = Leaf::SYS_RD;
    let findings = loaded(&[(0, rd, PROCESS), (1, rd, PROCESS), (2, rd, UNKNOWN)], true, RunEnd::Finished);
    let figures = "2 overlapping SEAMCALLs, 0 of them from different contexts; 2 calls from process context, 0 from interrupt context";
    assert_eq!(seen(&findings, Invariant::Concurrency), figures);
    let interrupts = loaded(&[(0, rd, INTERRUPT), (1, rd, INTERRUPT), (2, rd, INTERRUPT)], false, RunEnd::Finished);
    let figures = "0 overlapping SEAMCALLs, 0 of them from different contexts; 0 calls from process context, 3 from interrupt context";
    assert_eq!(seen(&interrupts, Invariant::Concurrency), figures);
}

/// P-SEAMLDR is not the module: neither its calls nor those beside them count.
#[test]
fn calls_of_the_loader_are_no_load() {
    let calls = [(0, Leaf::SEAMLDR_INFO, PROCESS), (1, Leaf::SYS_RD, INTERRUPT)];
    for calls in [calls, [calls[1], calls[0]]] {
        let findings = loaded(&calls, true, RunEnd::Finished);
        assert_eq!(broken(&findings), [Invariant::Concurrency].into());
        assert!(seen(&findings, Invariant::Concurrency).starts_with("0 overlapping SEAMCALLs"));
    }
}

#[test]
fn a_run_that_ended_early_or_saw_no_context_is_no_ground() {
    let calls = [(0, Leaf::SYS_RD, PROCESS)];
    let stopped = loaded(&calls, false, RunEnd::Stopped);
    assert_eq!(why_not(&stopped, Invariant::Concurrency), "the run ended before the load could show it");
    let unknown = loaded(&[(0, Leaf::SYS_RD, UNKNOWN)], false, RunEnd::Finished);
    assert_eq!(why_not(&unknown, Invariant::Concurrency), "the context of SEAMCALLs was not recorded");
    assert_eq!(broken(&unknown), BTreeSet::new());
}

/// What runs during an update is no load, however much of it overlaps.
#[test]
fn calls_during_an_update_are_no_load() {
    let mut run = Synthetic::plain(4, 1);
    run.setup.load.concurrency = true;
    for record in &mut run.records {
        record.flags |= if record.lp % 2 == 0 { PROCESS } else { INTERRUPT };
    }
    assert!(seen(&run.judge().0, Invariant::Concurrency).starts_with("0 overlapping SEAMCALLs"));
}
