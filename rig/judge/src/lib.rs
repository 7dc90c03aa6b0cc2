//! Turns the records of a run into a verdict.
//!
//! Pure: no process, no network, no clock. Records and console lines go into a [`Judge`] in their global order; breaches
//! come out as they happen and [`Findings`] at the end. The same records give the same findings, while the run is under
//! way and afterwards from its events file.

pub mod attempt;
mod check;
pub mod compare;
mod examination;
mod figures;
pub mod finding;
mod findings;
mod fold;
mod form;
mod host_time;
mod infrastructure;
mod invariant;
mod judge;
pub mod lps;
mod oracle;
pub mod origin;
pub mod passage;
mod recorder;
mod repetition;
pub mod report;
mod run_end;
pub mod scene;
mod schema;
mod setup;
pub mod stats;
mod step;
pub mod synthetic;
pub mod timeline;
mod tracker;
mod unmet;
mod update;
pub mod verdict;

pub use attempt::{Attempt, AttemptOutcome};
pub use check::{Checked, check};
pub use compare::{Comparison, compare};
pub use examination::{Examination, Examined};
pub use figures::{Gathering, UpdateFigures};
pub use finding::{Breach, Cited, Finding, Standing};
pub use findings::{Findings, Unmodelled};
pub use fold::Fold;
pub use form::Malformed;
pub use infrastructure::is_lockup;
pub use invariant::Invariant;
pub use judge::Judge;
pub use recorder::Recorder;
pub use repetition::Livelock;
pub use run_end::RunEnd;
pub use schema::verdict_schema;
pub use setup::{LoadDemands, Setup, SubjectNames};
pub use step::Step;
pub use verdict::{Facts, Outcome, Verdict};
