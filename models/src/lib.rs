//! A model of the acknowledgement: how CPUs walk the steps of a TDX module update together, in both ways in which
//! `guest-kmod/lockstep.c` counts acknowledgements, and of the deliberate errors of `guest-kmod/twins.c`.
//!
//! Two checkers, because neither does it all:
//!
//! * [`explore`] walks every state that 3 CPUs can reach over all steps, with stateright: each access of a CPU to a shared
//!   word is one transition, a SEAMCALL is two (enter, exit), any SEAMCALL may fail (once in an update), a CPU may come
//!   online whenever CPU hotplug is not locked out. Memory is sequentially consistent, or that of x86 (a store
//!   buffer in front of each CPU). States are told apart by 64-bit fingerprints, so "every" is up to a collision.
//! * [`weak`] runs the protocol as Rust code under loom, in the C11 memory model, where far more can be seen out of order
//!   than on x86. It finds what ordering each access needs. Loom cannot finish five steps on 3 CPUs, so this is one passage
//!   from a step to the next, which is where all orderings matter.
//!
//! What the model leaves out: the firmware's own checks (a call succeeds or fails by choice), interrupts, and TDH.SYS.INIT's
//! once-only lock.

mod explore;
mod ghost;
mod invariant;
mod machine;
mod memory;
mod program;
mod transition;
mod twin;
pub mod weak;

pub use explore::{Exploration, explore};
pub use invariant::Invariant;
pub use machine::{Action, Machine, State};
pub use memory::{Memory, Word};
pub use program::{Ack, Leaf, Op, Step};
pub use twin::Twin;
