//! Mutants of Linux: every small change that a rule makes of the update's own code, each built and run, to see whether the judge
//! notices.
//!
//! A mutant that nothing notices is either no error at all, and `explained.toml` says why, or a hole in the judge.

mod build;
mod explained;
mod generate;
mod judgement;
mod key;
mod mutant;
mod record;
mod report;
mod rule;
mod run;
mod store;
mod table;
mod target;

pub use explained::{Explanation, Kind, explanations};
pub use generate::{GenerateError, generate};
pub use judgement::Judgement;
pub use mutant::Mutant;
pub use record::Record;
pub use report::{Report, Row, Standing};
pub use rule::Rule;
pub use run::{Request, build, run};
pub use table::markdown;
pub use target::{TARGETS, Target, mutants};
