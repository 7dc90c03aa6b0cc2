//! Measures a mutant alone: its file is changed as cargo-mutants changes it, and compiled.

use crate::compile::{self, Recipe};
use crate::lines::Lines;
use crate::list::Mutant;
use crate::record::{Outcome, Witness};
use crate::sites::{NONE, extent, replaced};
use crate::suite::{Judged, Patience, Suite};
use crate::tree::Tree;
use crate::trouble::Trouble;
use std::path::Path;

/// A tree in which one mutant after the other is compiled.
#[derive(Debug)]
pub struct Bench {
    tree: Tree,
    recipe: Recipe,
    /// Without a mutant, for its times. The programs are those of the mutant that was compiled last.
    suite: Suite,
}

impl Bench {
    /// Compiles the program without a mutant and runs its tests.
    pub fn new(tree: Tree, recipe: Recipe, patience: Patience) -> Result<Self, Trouble> {
        let compiled = compile::build(&tree, &recipe)?;
        if let Some(error) = compiled.errors.first() {
            return Err(Trouble::NeverCompiles(error.rendered.clone().unwrap_or_default()));
        }
        let suite = Suite::new(&tree, &recipe, compiled.programs, patience)?;
        Ok(Self { tree, recipe, suite })
    }

    /// Compiles a mutant and runs the tests.
    pub fn judge(&mut self, mutant: &Mutant, hint: Option<&Witness>) -> Result<Judged, Trouble> {
        let original = self.tree.read(&mutant.file)?;
        let extent = extent(mutant, &Lines::of(&original))?;
        let mutated = replaced(&original, &(0..original.len()), &extent, &mutant.replacement);
        let path = Path::new(&mutant.file);
        self.tree.write(path, mutated.as_bytes())?;
        let judged = self.compiled(hint);
        self.tree.write(path, original.as_bytes())?;
        judged
    }

    fn compiled(&mut self, hint: Option<&Witness>) -> Result<Judged, Trouble> {
        let compiled = compile::build(&self.tree, &self.recipe)?;
        if !compiled.errors.is_empty() {
            return Ok((Outcome::Unviable, None));
        }
        self.suite.replace(compiled.programs);
        self.suite.judge(NONE, hint)
    }
}
