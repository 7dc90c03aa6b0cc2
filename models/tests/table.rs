//! Both ways to acknowledge hold every invariant in every reachable state; each twin breaks what it must and no more.

use ack_model::{Ack, Exploration, Invariant, Machine, Memory, Twin, explore};
use rstest::rstest;
use std::collections::BTreeSet;

const CPUS: usize = 3;

/// On stderr, so that a test's log has the figures.
fn explored(machine: Machine) -> Exploration {
    let exploration = explore(machine);
    let Exploration { states, transitions, took, .. } = &exploration;
    eprintln!("{machine:?}: {states} states, {transitions} transitions, {} ms", took.as_millis());
    exploration
}

#[rstest]
fn the_proper_code_holds_every_invariant(
    #[values(Ack::Lock, Ack::Atomic)] ack: Ack,
    #[values(Memory::Sequential, Memory::StoreBuffers)] memory: Memory,
) {
    let exploration = explored(Machine { ack, twin: None, memory, cpus: CPUS });
    assert_eq!(exploration.broken, []);
    assert!(exploration.can_succeed && exploration.can_fail, "neither end may be out of reach");
    assert!(exploration.states > 10_000, "{exploration:?}");
}

/// Only the counting differs between the two, so only twins of the counting differ.
#[rstest]
fn each_twin_breaks_its_invariant_first(
    #[values(Ack::Lock, Ack::Atomic)] ack: Ack,
    #[values(Memory::Sequential, Memory::StoreBuffers)] memory: Memory,
) {
    for twin in Twin::ALL {
        let exploration = explored(Machine { ack, twin: Some(twin), memory, cpus: CPUS });
        let broken: BTreeSet<_> = exploration.broken.iter().map(|(invariant, _)| *invariant).collect();
        assert_eq!(broken, expected(twin, ack, memory), "{}", twin.name());
    }
}

/// What a twin breaks before anything else, in some execution.
fn expected(twin: Twin, ack: Ack, memory: Memory) -> BTreeSet<Invariant> {
    let mut all = BTreeSet::from([twin.breaks()]);
    match twin {
        // A CPU that is left behind can also fail when others are already ahead.
        Twin::EarlyAdvance => all.insert(Invariant::StopOnFailure),
        // A lock makes one of the two: its order inside cannot be seen.
        Twin::FailureAfterAck if ack == Ack::Lock => all.remove(&Invariant::StopOnFailure),
        _ => false,
    };
    // It can look at the step before its own store of the next one arrives, and acknowledge a step that is over.
    if (twin, ack, memory) == (Twin::EarlyAdvance, Ack::Atomic, Memory::StoreBuffers) {
        all.insert(Invariant::Progress);
    }
    all
}

/// A shortest way to the breach is a sequence that can be read.
#[test]
fn a_breach_comes_with_the_way_to_it() {
    let twin = Some(Twin::LostAck);
    let exploration = explore(Machine { ack: Ack::Atomic, twin, memory: Memory::Sequential, cpus: 2 });
    let (invariant, way) = &exploration.broken[0];
    assert_eq!(*invariant, Invariant::Progress);
    assert!((10..80).contains(&way.len()), "{way:?}");
}
