//! Calls of two LPs at the same time: what the module comes to must be among what the model may come to.

use crate::compare::{Answer, Model, Step, Subject, differs};
use crate::generate::{Generator, setup};
use seam_emu::Regs;
use std::collections::HashSet;
use std::fmt;

/// A module that can be called by two LPs at the same time.
pub trait Concurrent: Subject {
    /// Makes both calls. The seed says where they come between each other.
    fn at_once(&mut self, calls: [(usize, Regs); 2], seed: u64) -> [Answer; 2];
}

/// Two calls whose answers the model does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Race {
    /// Steps before them.
    pub steps: usize,
    /// LP and operands of each.
    pub calls: [(usize, Regs); 2],
    /// Where they came between each other.
    pub seed: u64,
    /// The module's answers.
    pub module: [Answer; 2],
    /// All that the model may come to.
    pub model: Vec<[Answer; 2]>,
}

/// An answer in a line: a status, or what it was instead.
fn brief(answer: &Answer) -> String {
    match answer {
        Answer::Returned(after) => format!("{:#018x}", after.rax),
        other => format!("{other:?}"),
    }
}

impl fmt::Display for Race {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "step {}, order {}:", self.steps, self.seed)?;
        for (lp, regs) in &self.calls {
            let step = Step::Call { lp: *lp, regs: *regs };
            let name = step.leaf().map_or("?", |leaf| leaf.name());
            writeln!(f, "    LP {lp}: {name} {regs:x?}")?;
        }
        writeln!(f, "    module: {}, {}", brief(&self.module[0]), brief(&self.module[1]))?;
        for [first, second] in &self.model {
            writeln!(f, "    model:  {}, {}", brief(first), brief(second))?;
        }
        Ok(())
    }
}

/// What a search came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Races {
    /// Pairs of calls that were made at the same time.
    pub made: usize,
    /// Of these, pairs whose answers were not those of one call after the other in either order.
    pub met: usize,
    /// The first pair that the model does not have, which ends the search; a difference of a single call ends it, too.
    pub found: Option<Race>,
}

/// Runs a generated sequence of so many steps, two of different LPs at once where that can be.
pub fn search_at_once(module: &mut dyn Concurrent, model: Model, generator: &mut Generator, calls: usize) -> Races {
    // Equal answers may leave different states; each of them is a possible past.
    let mut models = vec![model];
    for step in setup() {
        module.step(&step);
        models[0].step(&step);
    }
    let mut races = Races::default();
    let mut steps = 0;
    while steps < calls {
        let first = generator.next_step();
        let second = generator.next_step();
        let (Step::Call { lp: a, regs: x }, Step::Call { lp: b, regs: y }) = (&first, &second) else {
            steps += 1;
            // What is no call of an LP is done alone.
            let alone = if matches!(first, Step::Call { .. }) { second } else { first };
            let answer = module.step(&alone);
            for model in &mut models {
                model.step(&alone);
            }
            generator.learn(&alone, &answer);
            continue;
        };
        if a == b {
            continue;
        }
        let pair = [(*a, *x), (*b, *y)];
        let seed = steps as u64;
        steps += 2;
        races.made += 1;
        let theirs = module.at_once(pair, seed);
        let outcomes: Vec<_> = models.iter().flat_map(|model| model.at_once(pair)).collect();
        let matches = |ours: &[Answer; 2]| {
            let answers = theirs.iter().zip(ours);
            [&first, &second].into_iter().zip(answers).all(|(step, (a, b))| differs(step, a, b).is_none())
        };
        let matching = || outcomes.iter().enumerate().filter(|(_, (ours, _))| matches(ours));
        if matching().next().is_none() {
            let model = outcomes.into_iter().map(|(answers, _)| answers).collect();
            races.found = Some(Race { steps, calls: pair, seed, module: theirs, model });
            return races;
        }
        // The outcomes are in the order of `Model::at_once`: each order without an overlap, then with one.
        races.met += usize::from(matching().all(|(at, _)| at % 2 == 1));
        let mut states = HashSet::new();
        models =
            matching().filter(|(_, (_, model))| states.insert(model.state())).map(|(_, (_, m))| m.clone()).collect();
        generator.learn(&first, &theirs[0]);
        generator.learn(&second, &theirs[1]);
    }
    races
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Topology;
    use seam_emu::Generation;

    const TOPOLOGY: Topology = Topology { packages: 1, lps_per_package: 2 };

    /// A module that is the model, and picks one of what may happen.
    struct Picks {
        model: Model,
        /// The answers of a lock that is held are replaced by success.
        ignores_locks: bool,
    }

    impl Subject for Picks {
        fn step(&mut self, step: &Step) -> Answer {
            self.model.step(step)
        }
        fn memory(&self, pa: u64, length: usize) -> Vec<u8> {
            self.model.memory(pa, length)
        }
    }

    impl Concurrent for Picks {
        fn at_once(&mut self, calls: [(usize, Regs); 2], seed: u64) -> [Answer; 2] {
            let outcomes = self.model.at_once(calls);
            let (mut answers, model) = outcomes.into_iter().nth(seed as usize / 2 % 4).expect("there are four");
            self.model = model;
            if self.ignores_locks {
                for (answer, (_, regs)) in answers.iter_mut().zip(calls) {
                    if matches!(answer, Answer::Returned(after) if after.rax >> 32 == 0x8000_0200) {
                        *answer = Answer::Returned(Regs { rax: 0, ..regs });
                    }
                }
            }
            answers
        }
    }

    fn run(ignores_locks: bool) -> Races {
        let model = Model::new(TOPOLOGY, Generation::V1_5_05, Generation::V1_5_05);
        let mut module = Picks { model: model.clone(), ignores_locks };
        search_at_once(&mut module, model, &mut Generator::new(2, TOPOLOGY, 0, true), 400)
    }

    #[test]
    fn what_the_model_may_come_to_is_no_difference() {
        let races = run(false);
        assert_eq!(races.found, None);
        assert!(races.made > 80 && races.met > 0, "{races:?}");
    }

    #[test]
    fn a_module_that_ignores_locks_is_found() {
        assert_ne!(run(true).found, None);
    }
}
