//! A timeline may come from anywhere. Whatever it says, it is judged and shown without a panic.

use proptest::prelude::*;
use rig_judge::report::files;
use rig_judge::synthetic::Synthetic;
use rig_judge::{Facts, Judge, RunEnd, Setup, Verdict};
use rig_wire::event::Record;

/// Numbers that mean something, and any others.
fn number() -> impl Strategy<Value = u64> {
    let leaves = prop::sample::select(vec![0, 33, 34, 35, 37, 52, 53, 1 << 63, 1 << 63 | 1, u64::MAX]);
    prop_oneof![4 => 0..7_u64, 4 => leaves, 1 => any::<u64>()]
}

fn record() -> impl Strategy<Value = Record> {
    let place = (prop_oneof![0..5_u16, Just(u16::MAX), any::<u16>()], 0..17_u16, 0..2048_u32);
    let times = (any::<u64>(), prop_oneof![0..1_000_000_u64, any::<u64>()]);
    (place, times, number(), number(), number(), number()).prop_map(
        |((lp, kind, flags), (seq, guest_ns), a, b, c, d)| Record {
            seq,
            host_ns: 0,
            guest_ns,
            lp,
            kind,
            flags,
            a,
            b,
            c,
            d,
        },
    )
}

fn ends() -> impl Strategy<Value = RunEnd> {
    let what = || "w".to_string();
    prop::sample::select(vec![
        RunEnd::Finished,
        RunEnd::Stopped,
        RunEnd::Hung { what: what() },
        RunEnd::Crashed { what: what() },
        RunEnd::Lost { cause: what() },
    ])
}

fn judge_and_show(setup: &Setup, records: &[Record], end: &RunEnd) {
    let mut judge = Judge::new(setup.clone());
    let breaches = records.iter().filter_map(|record| judge.observe(record)).count();
    let findings = judge.finish(end);
    assert!(breaches <= findings.breaches().len());
    let verdict = Verdict::new(Facts::default(), &findings, end);
    assert_eq!(verdict.invariants.len(), 12);
    assert_eq!(files(setup, records.to_vec(), &[], &verdict).len(), 6);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn any_records_are_judged(records in prop::collection::vec(record(), 0..200), end in ends()) {
        judge_and_show(&Synthetic::new(4).setup, &records, &end);
    }

    /// Records of a real order with some of them altered, doubled or gone.
    #[test]
    fn any_alteration_is_judged(
        edits in prop::collection::vec((any::<prop::sample::Index>(), record(), 0..3_u8), 1..8),
        end in ends(),
    ) {
        let mut run = Synthetic::plain(4, 1);
        for (at, record, how) in edits {
            let at = at.index(run.records.len());
            match how {
                0 => run.records[at] = record,
                1 => run.records.insert(at, record),
                _ => drop(run.records.remove(at)),
            }
        }
        judge_and_show(&run.setup, &run.records, &end);
    }
}

/// In deterministic mode no clock is read: the picture counts events instead.
#[test]
fn a_timeline_without_a_clock_is_shown_by_its_order() {
    let mut run = Synthetic::plain(4, 1);
    run.records.iter_mut().for_each(|record| record.guest_ns = 0);
    let scene = rig_judge::scene::Scene::of(&run.setup, run.records.clone(), &run.console);
    assert!(!scene.guest_time);
    assert!(scene.lanes.iter().all(|lane| lane.steps.len() == 5 && lane.steps.is_sorted_by_key(|s| s.begin_ns)));
    assert!(run.judge().0.statistics.steps.is_empty());
    assert!(run.judge().0.breaches().is_empty());
}
