//! What must hold in every order.

mod ghost;
mod rule;

pub(crate) use ghost::swapped;
pub use ghost::{Ghost, Outcome};
pub use rule::Rule;
