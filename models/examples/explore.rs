//! Prints what the exploration of each variant and of each twin comes to: `cargo run -p ack-model --example explore`.

use ack_model::{Ack, Machine, Memory, Twin, explore};

fn main() {
    let cpus = std::env::args().nth(1).map_or(3, |n| n.parse().expect("the argument is a number of CPUs, 2 to 8"));
    println!(
        "{:<18} {:<7} {:<13} {:>8} {:>11} {:>6} {:>7}  first broken",
        "twin", "ack", "memory", "states", "transitions", "depth", "ms"
    );
    for twin in std::iter::once(None).chain(Twin::ALL.map(Some)) {
        for ack in [Ack::Lock, Ack::Atomic] {
            for memory in [Memory::Sequential, Memory::StoreBuffers] {
                let e = explore(Machine { ack, twin, memory, cpus });
                let broken: Vec<_> = e.broken.iter().map(|(i, way)| format!("{} in {}", i.name(), way.len())).collect();
                println!(
                    "{:<18} {:<7} {:<13} {:>8} {:>11} {:>6} {:>7}  {}",
                    twin.map_or("-", Twin::name),
                    format!("{ack:?}"),
                    format!("{memory:?}"),
                    e.states,
                    e.transitions,
                    e.depth,
                    e.took.as_millis(),
                    if broken.is_empty() { "-".into() } else { broken.join(", ") }
                );
            }
        }
    }
}
