//! vCPUs whose threads are wanted back at any moment.

use crate::harness::case::Case;
use crate::harness::kernel::{NUM_ACK, STATE};
use crate::updates::assert_held;
use rig_wire::event::Kind;
use rstest::rstest;
use seam_emu::Durations;
use seam_emu::abi::Leaf;
use std::time::Duration;

/// Signals and `immediate_exit` come before, in and behind SEAMCALLs and accesses. None is lost, and none is made
/// twice.
#[rstest]
#[case::one_vcpu(1)]
#[case::two_vcpus(2)]
#[case::four_vcpus(4)]
#[cfg_attr(no_kvm, ignore = "needs /dev/kvm")]
fn a_kick_neither_loses_nor_repeats_anything(#[case] lps: u16) {
    let updates = 10;
    let case =
        Case { updates, durations: Durations::realistic(), kicks: Some(Duration::from_micros(50)), ..Case::new(lps) };
    let outcome = case.go().unwrap();
    println!("{lps} vCPUs: {} kicks in {updates} updates, {:?}", outcome.kicks, outcome.took);
    assert!(outcome.kicks > u64::from(updates), "{} kicks", outcome.kicks);
    assert!(outcome.succeeded(updates as usize), "{:?}", outcome.walks);
    assert_held(&outcome);
    let (lps, updates) = (usize::from(lps), updates as usize);
    assert_eq!(outcome.stores(NUM_ACK), updates * 5 * (lps + 1));
    assert_eq!(outcome.stores(STATE), updates * 5);
    for (leaf, times) in [(Leaf::SysShutdown, 1), (Leaf::LdrInstall, lps), (Leaf::SysLpInit, lps), (Leaf::SysUpdate, 1)]
    {
        assert_eq!(outcome.count(Kind::SeamcallEnter, leaf.number()), times * updates, "{leaf:?}");
        assert_eq!(outcome.count(Kind::SeamcallExit, leaf.number()), times * updates, "{leaf:?}");
    }
}
