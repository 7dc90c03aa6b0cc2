//! Which module needs which.
//!
//! A module is a file; modules that are written inside a file belong to it. Module `a` needs `b` when anything in `a`
//! names something that is *defined* in `b`, by `use` or by a path in a type, an expression, a pattern, an attribute or a
//! macro. Names are followed through re-exports, so a module that only hands out what its children define is needed by
//! nobody. `mod b;` needs nothing, nor does `pub use` of what lies below oneself. Tests do not count. What is not seen:
//! methods, whose types the syntax does not tell.

mod components;
mod needs;
mod resolve;
mod tree;

pub use components::{Component, components};
pub use needs::{Need, needs};
pub use tree::{Lost, Module, Tree};
