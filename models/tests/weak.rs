//! The passage from one step to the next in the C11 memory model: what ordering each access needs.

use ack_model::Ack;
use ack_model::weak::{Explored, Orders, Passage, explore};
use loom::sync::atomic::Ordering::Relaxed;
use rstest::rstest;

fn explored(ack: Ack, fails: Option<usize>, orders: Orders) -> Explored {
    let explored = explore(Passage { ack, cpus: 3, fails, orders, preemptions: None });
    eprintln!("{ack:?}, fails {fails:?}: {} executions, {} ms", explored.executions, explored.took.as_millis());
    explored
}

#[rstest]
#[case(Ack::Lock, 50_000)]
#[case(Ack::Atomic, 10_000)]
fn the_orderings_of_the_kernel_module_suffice(#[case] ack: Ack, #[case] at_least: usize) {
    let explored = explored(ack, None, Orders::KMOD);
    assert_eq!(explored.broken, None);
    assert!(explored.executions > at_least, "{explored:?}");
}

#[rstest]
fn a_failure_is_seen_before_the_next_step(#[values(Ack::Lock, Ack::Atomic)] ack: Ack, #[values(0, 2)] fails: usize) {
    assert_eq!(explored(ack, Some(fails), Orders::KMOD).broken, None);
}

const KMOD: Orders = Orders::KMOD;

/// Each twin weakens one access; what it breaks follows.
#[rstest]
#[case::relaxed_look(Ack::Lock, None, Orders { look: Relaxed, ..KMOD }, "lockstep")]
#[case::relaxed_look(Ack::Atomic, None, Orders { look: Relaxed, ..KMOD }, "lockstep")]
#[case::relaxed_advance(Ack::Lock, None, Orders { advance: Relaxed, ..KMOD }, "lockstep")]
#[case::relaxed_advance(Ack::Atomic, None, Orders { advance: Relaxed, ..KMOD }, "lockstep")]
#[case::relaxed_count(Ack::Atomic, None, Orders { count: Relaxed, ..KMOD }, "lockstep")]
#[case::relaxed_failure(Ack::Atomic, Some(0), Orders { count: Relaxed, ..KMOD }, "stop-on-failure")]
#[case::late_reset(Ack::Atomic, None, Orders { reset_first: false, ..KMOD }, "progress")]
fn a_weaker_access_is_caught(
    #[case] ack: Ack,
    #[case] fails: Option<usize>,
    #[case] orders: Orders,
    #[case] invariant: &str,
) {
    let broken = explored(ack, fails, orders).broken.expect("an execution with a breach");
    assert!(broken.starts_with(invariant), "{broken}");
}

/// Linux 7.3 loads the step with `READ_ONCE()`: correct on x86, where every load acquires and every store releases (the
/// other model shows it), and not in C11. TDX exists on x86 alone.
#[test]
fn linux_relies_on_the_order_of_x86() {
    let broken = explored(Ack::Lock, None, Orders::LINUX).broken.expect("an execution with a breach");
    assert!(broken.starts_with("lockstep"), "{broken}");
}

/// With the lock it is no error when the reset comes late inside it.
#[test]
fn a_late_reset_inside_the_lock_is_harmless() {
    let orders = Orders { reset_first: false, ..KMOD };
    let explored = explore(Passage { ack: Ack::Lock, cpus: 2, fails: None, orders, preemptions: None });
    assert_eq!(explored.broken, None);
}
