//! Looks for a sequence in which the module and the model differ, and for the shortest one that shows it.

mod at_once;
mod fields;
mod report;
mod shrink;

use crate::compare::{Answer, Difference, Step, Subject, compare};
use crate::generate::{Generator, setup};

pub use at_once::{Concurrent, Race, Races, search_at_once};
pub use fields::{FieldDifference, Fields, compare_fields};
pub use report::test_case;
pub use shrink::shrink;

/// The module and the model, both new.
pub struct Subjects {
    /// The module as code.
    pub module: Box<dyn Subject>,
    /// The model.
    pub model: Box<dyn Subject>,
}

/// A sequence whose last step shows a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// All steps, what a VMM has in memory at first included.
    pub steps: Vec<Step>,
    /// Steps that the module refused, by their numbers: most likely nothing depends on them.
    pub refused: Vec<usize>,
    /// What differs after the last one.
    pub difference: Difference,
}

/// Runs a generated sequence of so many steps. Gives the first difference.
pub fn search(subjects: &mut Subjects, generator: &mut Generator, calls: usize) -> Option<Finding> {
    let (mut steps, mut refused) = (Vec::new(), Vec::new());
    let mut setup = setup().into_iter();
    for _ in 0..calls + setup.len() {
        let step = setup.next().unwrap_or_else(|| generator.next_step());
        let (answer, difference) = compare(&mut *subjects.module, &mut *subjects.model, &step);
        generator.learn(&step, &answer);
        if matches!(&answer, Answer::Returned(after) if after.rax >> 63 != 0) {
            refused.push(steps.len());
        }
        steps.push(step);
        if let Some(difference) = difference {
            return Some(Finding { steps, refused, difference });
        }
    }
    None
}

/// Runs given steps. Gives the first difference and the step that shows it.
pub fn replay(subjects: &mut Subjects, steps: &[Step]) -> Option<(usize, Difference)> {
    steps.iter().enumerate().find_map(|(at, step)| {
        let (_, difference) = compare(&mut *subjects.module, &mut *subjects.model, step);
        difference.map(|difference| (at, difference))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::compare::Model;
    use crate::platform::Topology;
    use seam_emu::Generation;
    use seam_emu::abi::Leaf;
    use std::sync::LazyLock;

    const TOPOLOGY: Topology = Topology { packages: 1, lps_per_package: 2 };

    /// A model that tells a wrong status where `is_wrong` says so.
    struct Wrong {
        model: Model,
        is_wrong: fn(&Step, &Answer) -> bool,
    }

    impl Subject for Wrong {
        fn step(&mut self, step: &Step) -> Answer {
            match self.model.step(step) {
                Answer::Returned(mut after) if (self.is_wrong)(step, &Answer::Returned(after)) => {
                    after.rax ^= 0x5A00_0000_0000;
                    Answer::Returned(after)
                }
                answer => answer,
            }
        }
        fn memory(&self, pa: u64, length: usize) -> Vec<u8> {
            self.model.memory(pa, length)
        }
    }

    fn subjects(is_wrong: fn(&Step, &Answer) -> bool) -> Subjects {
        static NEW: LazyLock<Model> = LazyLock::new(|| Model::new(TOPOLOGY, Generation::V1_5_05, Generation::V1_5_05));
        let model = NEW.clone();
        Subjects { module: Box::new(Wrong { model: model.clone(), is_wrong }), model: Box::new(model) }
    }

    fn generator(seed: u64) -> Generator {
        Generator::new(seed, TOPOLOGY, 0, true)
    }

    #[test]
    fn subjects_that_are_alike_do_not_differ() {
        assert_eq!(search(&mut subjects(|_, _| false), &mut generator(0), 2000), None);
    }

    #[test]
    fn a_difference_is_found_and_cut_down_to_the_calls_that_it_needs() {
        // A wrong status of a successful MNG.ADDCX.
        let is_wrong = |step: &Step, answer: &Answer| {
            step.leaf() == Some(Leaf::MngAddcx) && matches!(answer, Answer::Returned(after) if after.rax == 0)
        };
        let found = search(&mut subjects(is_wrong), &mut generator(0), 2000).expect("it differs");
        assert_eq!(found.steps.last().and_then(Step::leaf), Some(Leaf::MngAddcx));
        let shortest = shrink(&found, || subjects(is_wrong));
        let leaves: Vec<_> = shortest.steps.iter().filter_map(Step::leaf).collect();
        let needed = [
            Leaf::SysInit,
            Leaf::SysLpInit,
            Leaf::SysLpInit,
            Leaf::SysConfig,
            Leaf::SysKeyConfig,
            Leaf::SysTdmrInit,
            Leaf::MngCreate,
            Leaf::MngKeyConfig,
            Leaf::MngAddcx,
        ];
        assert_eq!(leaves, needed);
        let written = test_case(&shortest, Generation::V1_5_05, Generation::V1_5_05, TOPOLOGY);
        assert!(written.contains("rax: 0x9") && written.ends_with("}\n"), "{written}");
    }

    #[test]
    fn a_replay_names_the_step() {
        let is_wrong = |step: &Step, _: &Answer| step.leaf() == Some(Leaf::SysLpInit);
        let found = search(&mut subjects(is_wrong), &mut generator(1), 100).expect("it differs");
        let replayed = replay(&mut subjects(is_wrong), &found.steps).expect("it differs again");
        assert_eq!(replayed, (found.steps.len() - 1, found.difference));
        assert_eq!(replay(&mut subjects(|_, _| false), &found.steps), None);
    }
}
