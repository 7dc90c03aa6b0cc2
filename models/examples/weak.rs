//! Prints what loom's exploration comes to: `cargo run -p ack-model --example weak`.

use ack_model::Ack;
use ack_model::weak::{Orders, Passage, explore};

fn main() {
    for (cpus, preemptions) in [(2, None), (3, Some(2)), (3, Some(3)), (3, None)] {
        for ack in [Ack::Lock, Ack::Atomic] {
            for orders in [Orders::KMOD, Orders::LINUX] {
                for fails in [None, Some(cpus - 1)] {
                    let e = explore(Passage { ack, cpus, fails, orders, preemptions });
                    let broken = e.broken.as_deref().unwrap_or("-");
                    println!(
                        "{cpus} CPUs, {ack:?}, look {:?}, fails {fails:?}, preemptions {preemptions:?}: {} executions, {} ms: {broken}",
                        orders.look,
                        e.executions,
                        e.took.as_millis()
                    );
                }
            }
        }
    }
}
