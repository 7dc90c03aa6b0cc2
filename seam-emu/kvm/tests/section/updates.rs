//! Updates that nothing disturbs.

use crate::harness::case::Case;
use crate::harness::kernel::{NUM_ACK, STATE};
use crate::harness::outcome::Outcome;
use rig_judge::Invariant;
use rig_wire::event::Kind;
use rstest::rstest;
use seam_emu::abi::Leaf;

/// What an update in this harness must show as held. The rest is about consoles, loads and TDs.
pub(crate) const HELD: [Invariant; 7] = [
    Invariant::Participation,
    Invariant::Lockstep,
    Invariant::LeadOnly,
    Invariant::UpdateOnly,
    Invariant::InterruptsOff,
    Invariant::SerialLoader,
    Invariant::Progress,
];

/// Checks that the judge holds all that it can hold.
pub(crate) fn assert_held(outcome: &Outcome) {
    assert_eq!(outcome.examined.findings.fault, None);
    assert!(outcome.broken().is_empty(), "{:#?}", outcome.examined.findings.breaches());
    let missing: Vec<_> = HELD.into_iter().filter(|invariant| !outcome.held().contains(invariant)).collect();
    assert!(missing.is_empty(), "{missing:?} not held: {:#?}", outcome.examined.findings.invariants);
}

#[rstest]
#[case::one(1, 1)]
#[case::two(2, 1)]
#[case::four(4, 1)]
#[case::sixteen(16, 1)]
#[case::one_after_another(2, 5)]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn the_kernels_section_holds(#[case] lps: u16, #[case] updates: u32) {
    let outcome = Case { updates, ..Case::new(lps) }.go().unwrap();
    println!("{lps} vCPUs, {updates} updates: {:?}", outcome.took);
    assert!(outcome.succeeded(updates as usize), "{:?}", outcome.walks);
    assert_held(&outcome);
    // Each CPU acknowledges five states, and five advances reset the count.
    let (lps, updates) = (usize::from(lps), updates as usize);
    assert_eq!(outcome.stores(NUM_ACK), updates * 5 * (lps + 1));
    assert_eq!(outcome.stores(STATE), updates * 5);
    for (leaf, times) in [
        (Leaf::SysShutdown, 1),
        (Leaf::LdrInstall, lps),
        (Leaf::SysInit, 1),
        (Leaf::SysLpInit, lps),
        (Leaf::SysUpdate, 1),
    ] {
        assert_eq!(outcome.count(Kind::SeamcallEnter, leaf.number()), times * updates, "{leaf:?}");
        assert_eq!(outcome.count(Kind::SeamcallExit, leaf.number()), times * updates, "{leaf:?}");
    }
}
