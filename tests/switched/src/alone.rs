//! Measures a mutant alone: its file is changed as cargo-mutants changes it, and compiled.

use crate::compile::{self, Recipe};
use crate::lines::Lines;
use crate::list::Mutant;
use crate::record::{Outcome, Witness};
use crate::runner::Runner;
use crate::sites::{extent, replaced};
use crate::suite::{Judged, Suite};
use crate::tree::Tree;
use crate::trouble::Trouble;
use std::path::Path;

/// A tree in which one mutant after the other is compiled.
#[derive(Debug)]
pub struct Bench {
    tree: Tree,
    recipe: Recipe,
    runner: Runner,
}

impl Bench {
    /// A bench in a tree without a mutant.
    pub fn new(tree: Tree, recipe: Recipe) -> Result<Self, Trouble> {
        let runner = Runner::new(&tree, &recipe)?;
        Ok(Self { tree, recipe, runner })
    }

    /// Compiles a mutant and runs the tests. `suite` says how long they may take.
    pub fn judge(&self, mutant: &Mutant, suite: &Suite<'_>, hint: Option<&Witness>) -> Result<Judged, Trouble> {
        let original = self.tree.read(&mutant.file)?;
        let extent = extent(mutant, &Lines::of(&original))?;
        let mutated = replaced(&original, &(0..original.len()), &extent, &mutant.replacement);
        let path = Path::new(&mutant.file);
        self.tree.write(path, mutated.as_bytes())?;
        let compiled = compile::build(&self.tree, &self.recipe);
        self.tree.write(path, original.as_bytes())?;
        let compiled = compiled?;
        if !compiled.errors.is_empty() {
            return Ok((Outcome::Unviable, None));
        }
        let suite = Suite { runner: &self.runner, ..*suite };
        suite.judge_programs(&compiled.programs, hint)
    }
}
