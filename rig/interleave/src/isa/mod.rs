//! The x86-64 integer instructions that the section reaches, one at a time. It knows no kernel. What it does not know, it
//! returns as [`Next::Unknown`]. Source of all semantics: Intel SDM volume 2.

mod arithmetic;
mod bits;
mod bus;
mod control;
mod flags;
mod instruction;
mod moves;
mod registers;
mod step;
mod string;

pub use bus::{Access, Bus, Next};
pub use registers::{Registers, flag, gpr};
pub use step::{decode, execute};
