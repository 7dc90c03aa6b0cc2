//! What of TDs must live through an update.

use super::edit::{broken, is_mark, seen, why_not};
use rig_judge::synthetic::{Synthetic, Twist};
use rig_judge::timeline::Leaf;
use rig_judge::{Finding, Invariant, RunEnd, Standing};
use rig_wire::event::{Kind, Mark, Record};
use rstest::rstest;
use std::collections::BTreeSet;

const PRESERVATION: Invariant = Invariant::Preservation;

/// A TD that the new module has and the old one did not is as wrong as one that changed or is gone.
#[rstest]
#[case::changed(Twist::AlteredTd, "TD 0x100000000 changed: 00000000d19e5700 became 00000000d19e5701")]
#[case::gone(Twist::LostTd, "TD 0x100000000 is gone")]
fn a_td_that_is_not_the_same_is_named(#[case] twist: Twist, #[case] words: &str) {
    let findings = Synthetic::new(4).boot().tds(2).twist(twist).update().judge().0;
    assert_eq!(seen(&findings, PRESERVATION), words);
    assert_eq!(findings.breaches()[0].events.len(), 2, "what was, and what is");
    assert_eq!(findings.breaches()[0].update, Some(1));
}

#[test]
fn a_td_from_nowhere_is_named() {
    let mut run = Synthetic::new(4).boot().tds(1).update();
    run.records.retain(|r| r.kind != Kind::TdDigest as u16 || r.c != 1);
    run.renumber();
    let findings = run.judge().0;
    assert_eq!(seen(&findings, PRESERVATION), "TD 0x100000000 appears from nowhere");
    assert_eq!(findings.breaches()[0].events.len(), 1);
}

/// Each update is judged by its own digests.
#[test]
fn preservation_holds_in_each_update_that_had_tds() {
    let mut run = Synthetic::new(4).boot().update().tds(1).update().update();
    run.setup.load.tds_run_again = true;
    let finding = run.judge().0.invariants[&PRESERVATION].clone();
    assert_eq!(finding, Finding::Held { updates: vec![2, 3] });
}

/// Whether virtual CPUs run again is a demand on the load, and can be judged when all is done.
#[rstest]
#[case::demanded(true, RunEnd::Finished, Standing::Broken)]
#[case::not_demanded(false, RunEnd::Finished, Standing::Held)]
#[case::stopped(true, RunEnd::Stopped, Standing::Held)]
fn a_virtual_cpu_must_run_again_where_the_load_demands_it(
    #[case] demanded: bool,
    #[case] end: RunEnd,
    #[case] expected: Standing,
) {
    let mut run = Synthetic::new(4).boot().tds(1).twist(Twist::SleepingTd).update();
    (run.setup.load.tds_run_again, run.end) = (demanded, end);
    let findings = run.judge().0;
    assert_eq!(findings.invariants[&PRESERVATION].standing(), expected);
    if expected == Standing::Broken {
        let words = "virtual CPU 0x100001000 was not entered with success since the update";
        assert_eq!(seen(&findings, PRESERVATION), words);
        assert_eq!(findings.breaches()[0].lps, [0]);
    }
}

/// A page that firmware did not give back is no sign that its virtual CPU was torn down, and another leaf's is none either.
#[rstest]
#[case::refused(Leaf::PAGE_RECLAIM, 0xc000_0100_0000_0000)]
#[case::another_leaf(Leaf(41), 0)]
fn a_virtual_cpu_that_was_not_torn_down_must_run_again(#[case] leaf: Leaf, #[case] status: u64) {
    let mut run = Synthetic::new(4).boot().tds(1).twist(Twist::SleepingTd).update();
    for (kind, b) in [(Kind::SeamcallEnter, 0x1_0000_1000), (Kind::SeamcallExit, status)] {
        run.records.push(Record { lp: 1, kind: kind as u16, a: leaf.0, b, ..Record::default() });
    }
    run.renumber();
    assert_eq!(broken(&run.judge().0), [PRESERVATION].into());
}

/// An update that failed keeps nobody from running, and takes no TD with it.
#[rstest]
fn an_update_that_failed_is_no_update_of_tds(#[values(Leaf::SHUTDOWN, Leaf::UPDATE)] leaf: Leaf) {
    let mut run = Synthetic::new(4).boot().tds(1).fault(leaf, 0, 0x8000_0000_0002_0001).update();
    let end = run.records.iter().position(|r| is_mark(r, Mark::UpdateEnd)).unwrap();
    run.records.truncate(end + 1);
    run.records.retain(|r| r.kind != Kind::TdDigest as u16 || r.c != 2);
    run.renumber();
    let findings = run.judge().0;
    assert_eq!(broken(&findings), BTreeSet::new());
    assert_eq!(why_not(&findings, PRESERVATION), "no TD lived through an update");
}

/// The operand of TDH.VP.ENTER has flags beside the page, and they may differ from entry to entry.
#[test]
fn a_virtual_cpu_is_known_by_its_page() {
    let mut run = Synthetic::new(4).boot().tds(1).update();
    let enter = run.records.iter().rposition(|r| Leaf::of(r) == Leaf::VP_ENTER && r.kind == 1).unwrap();
    run.records[enter].b |= 0xc000_0000_0000_0001;
    assert_eq!(run.judge().0.invariants[&PRESERVATION].standing(), Standing::Held);
}
