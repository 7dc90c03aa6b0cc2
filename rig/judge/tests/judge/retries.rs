//! SEAMCALLs that firmware answers with `TDX_RND_NO_ENTROPY`, and that the kernel makes again.

use super::edit::{broken, call, insert, last_call};
use rig_judge::Invariant;
use rig_judge::synthetic::Synthetic;
use rig_judge::timeline::Leaf;
use rig_wire::event::Record;
use rstest::rstest;
use std::collections::BTreeSet;

const RND_NO_ENTROPY: u64 = 0x8000_0203_0000_0000;

/// The LP's last call of this leaf is made so many times more before it, without entropy.
fn retry(run: &mut Synthetic, lp: u16, leaf: Leaf, times: usize) {
    let (enter, exit) = last_call(run, lp, leaf);
    let again = [run.records[enter], Record { b: RND_NO_ENTROPY, ..run.records[exit] }];
    insert(run, enter, again.repeat(times));
}

fn sys_init_of(run: &Synthetic) -> u16 {
    run.records.iter().rev().find(|r| Leaf::of(r) == Leaf::SYS_INIT && r.kind == 1).unwrap().lp
}

/// A call that is made again counts once, whichever it is; nine more are the kernel's limit.
#[rstest]
fn a_call_may_be_retried(
    #[values(Leaf::SHUTDOWN, Leaf::INSTALL, Leaf::SYS_INIT, Leaf::LP_INIT, Leaf::UPDATE)] leaf: Leaf,
    #[values((1, false), (9, false), (10, true))] (times, breaks): (usize, bool),
    #[values(false, true)] seamcalls_only: bool,
) {
    let mut run = Synthetic::plain(4, 1);
    let lp = if leaf == Leaf::SYS_INIT { sys_init_of(&run) } else { 0 };
    retry(&mut run, lp, leaf, times);
    let run = if seamcalls_only { run.seamcalls_only() } else { run };
    let expected: BTreeSet<Invariant> = breaks.then_some(Invariant::Participation).into_iter().collect();
    let findings = run.judge().0;
    assert_eq!(broken(&findings), expected, "{:#?}", findings.breaches());
}

/// Each update has its own retries.
#[test]
fn retries_are_counted_by_update() {
    let mut run = Synthetic::plain(4, 1);
    retry(&mut run, 0, Leaf::LP_INIT, 6);
    let mut twice = Synthetic::plain(4, 2);
    let second = twice.records.split_off(Synthetic::plain(4, 1).records.len());
    twice.records = run.records;
    twice.records.extend(second);
    twice.renumber();
    retry(&mut twice, 0, Leaf::LP_INIT, 6);
    let findings = twice.judge().0;
    assert_eq!((broken(&findings), findings.updates), (BTreeSet::new(), 2));
}

/// Reads are no step's call: the lead may make many, and those without entropy are nobody's retries.
#[rstest]
fn reads_are_not_counted(#[values(0, RND_NO_ENTROPY)] status: u64) {
    let mut run = Synthetic::plain(4, 1);
    let (_, updated) = last_call(&run, 0, Leaf::UPDATE);
    let [enter, exit] = call(0, Leaf::SYS_RD, 0x0800_0001_0000_0003);
    insert(&mut run, updated + 1, [enter, Record { b: status, ..exit }].repeat(12));
    assert_eq!(broken(&run.judge().0), BTreeSet::new());
}
