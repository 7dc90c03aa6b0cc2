//! Reductions change how many states a proof has, and nothing else. Every case of the rig's kernel that is small is proved with them
//! and without them.

use crate::prove::{kernel, prove};
use rig_interleave::kernel::{Entry, Locking};
use rig_interleave::report::{Report, Verdict};
use rig_interleave::{MemoryModel, Request};
use rstest::rstest;

/// What must be alike: the verdict, the rule and length of a counterexample, and what the CPUs can return.
fn outline(report: &Report) -> impl PartialEq + std::fmt::Debug + use<> {
    let finding = report.finding.as_ref().map(|finding| (finding.rule, finding.acts.len()));
    let codes: Vec<_> = report.returns.iter().map(|row| row.codes.clone()).collect();
    (report.verdict, finding, codes)
}

/// Proves both, and expects fewer states where more is reduced.
fn compare(reduced: Request, unreduced: Request) {
    let [reduced, unreduced] =
        [reduced, unreduced].map(|request| prove(kernel(), request).expect("there is a verdict"));
    println!("{} states, {} without the reduction", reduced.states, unreduced.states);
    assert_eq!(outline(&reduced), outline(&unreduced));
    assert_eq!(reduced.verdict, Verdict::Holds);
    assert!(reduced.states < unreduced.states, "{} and {}", reduced.states, unreduced.states);
}

/// What is dead is dropped, or kept.
#[rstest]
fn what_is_dead_changes_no_verdict(
    #[values(Entry::Section, Entry::StopMachine)] entry: Entry,
    #[values(MemoryModel::SequentiallyConsistent, MemoryModel::Tso)] memory: MemoryModel,
    #[values(Locking::Real, Locking::Contract)] lock: Locking,
    #[values(false, true)] failures: bool,
) {
    let request = Request { cpus: 2, entry, memory, lock, failures, ..Request::default() };
    compare(request, Request { keeps_dead: true, ..request });
}

/// The slow path of the lock looks once, or as often as the kernel has it.
#[test]
fn how_often_the_lock_looks_changes_no_verdict() {
    let request = Request { cpus: 2, ..Request::default() };
    compare(request, Request { keeps_pending_loop: true, ..request });
}

/// States that differ by an exchange of CPUs are one, or are not.
#[rstest]
#[case::three(3, false)]
#[case::three_with_a_failure(3, true)]
#[case::four(4, false)]
fn exchanging_cpus_changes_no_verdict(#[case] cpus: usize, #[case] failures: bool) {
    let request = Request { cpus, failures, lock: Locking::Contract, ..Request::default() };
    // CPUs that return something different are other CPUs after an exchange.
    let reduced = prove(kernel(), Request { symmetry: true, ..request }).expect("there is a verdict");
    let unreduced = prove(kernel(), request).expect("there is a verdict");
    println!("{} states, {} without the reduction", reduced.states, unreduced.states);
    assert_eq!(outcomes(&reduced), outcomes(&unreduced));
    assert!(reduced.states < unreduced.states);
}

/// The verdict, and what the CPUs can return, those but the lead in any order.
fn outcomes(report: &Report) -> (Verdict, std::collections::BTreeSet<Vec<i32>>) {
    let sorted = |codes: &Vec<i32>| {
        let mut codes = codes.clone();
        codes[1..].sort_unstable();
        codes
    };
    (report.verdict, report.returns.iter().map(|row| sorted(&row.codes)).collect())
}
