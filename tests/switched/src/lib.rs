//! Measures the tests of a crate by mutants: the list is that of cargo-mutants, and all of them are compiled into one
//! program, each behind a switch, so that a mutant costs a run of the tests and no compilation.
//!
//! What cannot be compiled in this form is compiled alone, as cargo-mutants would ([`alone`]), so that nothing of the list is
//! left unmeasured.

pub mod alone;
pub mod blame;
pub mod compile;
pub mod identity;
pub mod lines;
pub mod list;
pub mod measure;
pub mod places;
pub mod record;
pub mod render;
pub mod report;
pub mod run;
pub mod runner;
pub mod settle;
pub mod sites;
pub mod suite;
pub mod survey;
pub mod together;
pub mod tree;
pub mod trouble;
