//! The module and the model answer one sequence, step by step, until they differ.

mod accepted;
mod answer;
mod difference;
mod model;
mod pair;
mod step;
mod subject;

pub use accepted::{ACCEPTED, Accepted};
pub use answer::Answer;
pub use difference::Difference;
pub use model::Model;
pub use pair::compare;
pub(crate) use pair::{BUFFER, differs};
pub use step::Step;
pub(crate) use step::{Operands, initialize_tdmr};
pub use subject::Subject;
