//! The program: runs seeds, and says what differs.

use crate::compare::{Model, Step};
use crate::cpu::{Code, CodeSubject, MachineError};
use crate::generate::{Generator, setup};
use crate::module_file::{ModuleFile, ModuleFileError};
use crate::platform::Topology;
use crate::search::{Subjects, compare_fields, search, search_at_once, shrink, test_case};
use crate::sizes::Sizes;
use clap::Parser;
use seam_emu::Generation;
use std::io::Write;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use thiserror::Error;

/// Runs a TDX module as code and compares it with the model of it, call by call.
///
/// FILE is a module that you built from Intel's published source: the ELF file, before its symbols are stripped. Images that
/// Intel released are refused, because their licence does not allow them to be emulated.
#[derive(Debug, Parser)]
#[expect(clippy::struct_excessive_bools, reason = "switches of the command line")]
#[command(name = "seam-conform", version)]
pub struct Options {
    /// The module's ELF file.
    pub file: PathBuf,
    /// The generation that the model takes it for.
    #[arg(long = "as", value_name = "GENERATION", value_parser = generation)]
    pub generation: Generation,
    /// The module that updates install; without it FILE again.
    #[arg(long, value_name = "FILE", requires = "next_generation")]
    pub next: Option<PathBuf>,
    /// The generation of the next module.
    #[arg(long = "next-as", value_name = "GENERATION", value_parser = generation)]
    pub next_generation: Option<Generation>,
    /// Seeds: one, or FROM..TO without TO.
    #[arg(long, default_value = "0..10", value_parser = seeds)]
    pub seed: Range<u64>,
    /// Steps of each sequence.
    #[arg(long, default_value_t = 1000)]
    pub calls: usize,
    /// Packages of the platform.
    #[arg(long, default_value_t = 2)]
    pub packages: u32,
    /// LPs of each package.
    #[arg(long, default_value_t = 2)]
    pub lps_per_package: u32,
    /// Stops after so many seeds with a difference.
    #[arg(long, default_value_t = 1)]
    pub differences: usize,
    /// Makes calls of two LPs at the same time, in random orders.
    #[arg(long)]
    pub at_once: bool,
    /// Does not cut a sequence down: prints what differs and the call, and goes on with the next seed.
    #[arg(long)]
    pub whole: bool,
    /// Reads every global metadata field, and nothing else.
    #[arg(long)]
    pub fields: bool,
    /// Prints each step and the module's answer.
    #[arg(long)]
    pub trace: bool,
}

fn generation(text: &str) -> Result<Generation, String> {
    let named = Generation::ALL.into_iter().find(|generation| generation.name() == text);
    named.ok_or_else(|| format!("one of {}", Generation::ALL.map(Generation::name).join(", ")))
}

fn seeds(text: &str) -> Result<Range<u64>, std::num::ParseIntError> {
    match text.split_once("..") {
        Some((from, to)) => Ok(from.parse()?..to.parse()?),
        None => text.parse().map(|seed: u64| seed..seed + 1),
    }
}

/// Why nothing was compared.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ConformanceError {
    #[error("{path} cannot be read")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("{path} is not run")]
    File { path: PathBuf, source: ModuleFileError },
    #[error("the machine does not start")]
    Machine(#[from] MachineError),
    #[error("the module cannot be initialised: its processor or its memory is not what it wants")]
    NotInitialized,
    #[error("the result cannot be written")]
    Write(#[from] std::io::Error),
}

/// Modules and the platform.
pub struct Conformance<'a> {
    options: &'a Options,
    topology: Topology,
    module: Code,
    next: Code,
    /// The model before its first call.
    model: Model,
    generations: [Generation; 2],
}

/// A file, with the handoff versions of its generation.
fn load(path: &Path, generation: Generation) -> Result<Code, ConformanceError> {
    let bytes = std::fs::read(path).map_err(|source| ConformanceError::Read { path: path.to_owned(), source })?;
    let file = ModuleFile::parse(&bytes).map_err(|source| ConformanceError::File { path: path.to_owned(), source })?;
    let figures = generation.figures();
    let sizes = Sizes {
        module_hv: figures.module_hv,
        min_update_hv: figures.min_update_hv,
        no_downgrade: figures.no_downgrade,
        ..Sizes::default()
    };
    Ok(Code { file: Rc::new(file), sizes })
}

impl<'a> Conformance<'a> {
    /// Reads the files.
    pub fn load(options: &'a Options) -> Result<Self, ConformanceError> {
        let module = load(&options.file, options.generation)?;
        let (next, next_generation) = match (&options.next, options.next_generation) {
            (Some(path), Some(generation)) => (load(path, generation)?, generation),
            _ => (module.clone(), options.generation),
        };
        let topology = Topology { packages: options.packages, lps_per_package: options.lps_per_package };
        let generations = [options.generation, next_generation];
        let model = Model::new(topology, options.generation, next_generation);
        Ok(Self { options, topology, module, next, model, generations })
    }

    /// The module and the model, both new.
    fn subjects(&self) -> Result<Subjects, MachineError> {
        let code = CodeSubject::new(self.topology, &self.module, &self.next, 0)?;
        Ok(Subjects { module: Box::new(code), model: Box::new(self.model.clone()) })
    }

    /// Runs all seeds. Gives the number of those that showed a difference.
    pub fn run(&mut self, out: &mut dyn Write) -> Result<usize, ConformanceError> {
        if self.options.fields {
            return self.run_fields(out);
        }
        let (mut different, mut seeds) = (0, 0);
        for seed in self.options.seed.clone() {
            seeds += 1;
            let differs = if self.options.at_once { self.run_at_once(seed, out)? } else { self.run_seed(seed, out)? };
            different += usize::from(differs);
            if different == self.options.differences {
                break;
            }
        }
        let calls = self.options.calls;
        writeln!(out, "{seeds} seeds of {calls} steps on {} LPs: {different} differ", self.topology.lps())?;
        Ok(different)
    }

    /// Reads all fields. Gives the number of those that differ.
    fn run_fields(&mut self, out: &mut dyn Write) -> Result<usize, ConformanceError> {
        let mut subjects = self.subjects()?;
        let fields = compare_fields(&mut subjects, self.topology).ok_or(ConformanceError::NotInitialized)?;
        for field in &fields.different {
            writeln!(out, "{field}")?;
        }
        writeln!(out, "{} fields: {} differ", fields.read, fields.different.len())?;
        Ok(fields.different.len())
    }

    /// Runs one seed, two calls at a time. Gives whether the module came to what the model does not have.
    fn run_at_once(&mut self, seed: u64, out: &mut dyn Write) -> Result<bool, ConformanceError> {
        let mut generator = Generator::new(seed, self.topology, self.module.sizes.module_hv, true);
        let mut code = CodeSubject::new(self.topology, &self.module, &self.next, 0)?;
        let races = search_at_once(&mut code, self.model.clone(), &mut generator, self.options.calls);
        writeln!(out, "seed {seed}: {} pairs at once, {} met", races.made, races.met)?;
        if let Some(race) = &races.found {
            write!(out, "seed {seed}, {race}")?;
        }
        Ok(races.found.is_some())
    }

    /// Runs one seed. Gives whether it showed a difference.
    fn run_seed(&mut self, seed: u64, out: &mut dyn Write) -> Result<bool, ConformanceError> {
        let hv = self.module.sizes.module_hv;
        let mut generator = Generator::new(seed, self.topology, hv, true);
        let mut subjects = self.subjects()?;
        let found = search(&mut subjects, &mut generator, self.options.calls);
        let Some(found) = found else { return Ok(false) };
        writeln!(out, "seed {seed}, step {}: {}", found.steps.len() - setup().len(), found.difference)?;
        if self.options.trace {
            for step in found.steps.iter().filter(|step| !matches!(step, Step::Put { .. })) {
                writeln!(out, "    {step:x?}")?;
            }
        }
        if self.options.whole {
            if let Some(Step::Call { lp, regs }) = found.steps.last() {
                let name = found.steps.last().and_then(Step::leaf).map_or("?", |leaf| leaf.name());
                writeln!(out, "    LP {lp}: {name}: {regs:x?}")?;
            }
            return Ok(true);
        }
        let shortest = shrink(&found, || self.subjects().expect("a machine started before"));
        let [module, next] = self.generations;
        writeln!(out, "{}", test_case(&shortest, module, next, self.topology))?;
        Ok(true)
    }
}
