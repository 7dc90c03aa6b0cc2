//! What answers a sequence: a module as code, or the model.

use super::answer::Answer;
use super::step::Step;

/// Something that answers a sequence.
pub trait Subject {
    /// Does a step.
    fn step(&mut self, step: &Step) -> Answer;
    /// Memory that the VMM reads.
    fn memory(&self, pa: u64, length: usize) -> Vec<u8>;
}
