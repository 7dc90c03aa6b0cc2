//! Holds this repository to what ARCHITECTURE.md promises of its code.
//!
//! [`load::load`] reads the repository into a [`workspace::Workspace`], a plain value. The functions in [`check`] compare
//! it with what ARCHITECTURE.md promises ([`architecture`]) and with what is known and listed with a reason ([`allowed`]);
//! each returns [`violation::Violation`]s. `tests/repository.rs` runs them on this repository, `tests/planted.rs` on trees
//! that have one fault each, and the program `tidy` prints figures.

pub mod allowed;
pub mod architecture;
pub mod check;
pub mod graph;
pub mod load;
mod paths;
pub mod read;
pub mod report;
pub mod violation;
pub mod workspace;
