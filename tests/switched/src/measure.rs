//! The whole measurement of one crate.

use crate::alone::Bench;
use crate::compile::{Compiled, Recipe};
use crate::identity::{self, Identity};
use crate::list::{self, Mutant};
use crate::record::{Means, Outcome, Record, Records, Witness};
use crate::runner::Runner;
use crate::settle::{self, Settled};
use crate::suite::{Judged, Patience, Suite};
use crate::survey;
use crate::together;
use crate::tree::Tree;
use crate::trouble::Trouble;
use std::collections::VecDeque;
use std::fs;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::Instant;

/// What is measured, and how.
#[derive(Clone, Debug)]
pub struct Request {
    /// The workspace's root.
    pub root: PathBuf,
    /// The package and the profile.
    pub recipe: Recipe,
    /// A file with the list of mutants. None: cargo-mutants is asked.
    pub list: Option<PathBuf>,
    /// Only mutants whose names have one of these in them. Empty: all.
    pub only: Vec<String>,
    /// The file of results.
    pub results: PathBuf,
    /// Where programs are compiled.
    pub scratch: PathBuf,
    /// How many mutants are run at a time.
    pub workers: usize,
    /// How long a test may take.
    pub patience: Patience,
}

impl Request {
    fn tree(&self, name: &str) -> Result<Tree, Trouble> {
        let folder = self.scratch.join(&self.recipe.package);
        Tree::copy(&self.root, folder.join(name), folder.join(format!("{name}-build")))
    }
}

/// A measurement with the results of all mutants, in the order of the list.
pub type Measured = Vec<(Mutant, Record)>;

/// Measures. `say` is called with a line about each step.
pub fn measure(request: &Request, say: &(dyn Fn(String) + Sync)) -> Result<Measured, Trouble> {
    let mutants = mutants(request)?;
    say(format!("{} mutants", mutants.len()));
    let tree = request.tree("switched")?;
    let kept = |name: &str| request.scratch.join(&request.recipe.package).join(name);
    let mut tell = |line| say(format!("compiled: {line}"));
    let settled = settle::settle(&tree, &request.recipe, &mutants, &kept("left-out.json"), &mut tell)?;
    let Settled { compiled: Compiled { programs, .. }, switches, unswitched } = settled;
    say(format!("{} mutants have a switch, {} have none", switches.len(), unswitched.len()));
    let identity = identity::of(&request.root, &request.recipe.package, &programs)?;
    let runner = Runner::new(&tree, &request.recipe)?;
    let tests = survey::survey(&runner, &programs, &identity.program, &kept("tests.json"), request.workers)?;
    let time_ms: u64 = tests.iter().map(|test| test.time_ms).sum();
    say(format!("{} tests pass without a mutant, in {} s of processor time", tests.len(), time_ms / 1000));
    let suite = Suite { runner: &runner, programs: &programs, tests: &tests, patience: request.patience };
    let records = Records::open(&request.results)?;
    let shared = Shared { identity, records: Mutex::new(records), start: Instant::now(), say };
    let judge = |mutant: &Mutant, hint: Option<&Witness>| {
        let (number, first) = switches[&mutant.name];
        suite.judge(number, first, hint)
    };
    let with = mutants.iter().filter(|mutant| switches.contains_key(&mutant.name));
    shared.each(Means::Switch, with, vec![judge; request.workers])?;
    let without: Vec<&Mutant> = mutants.iter().filter(|mutant| unswitched.contains(&mutant.name)).collect();
    let unknown: Vec<&Mutant> = without.iter().copied().filter(|mutant| !shared.is_known(mutant)).collect();
    if !unknown.is_empty() {
        let unviable = together::unviable(&request.tree("alone-0")?, &request.recipe, &unknown)?;
        say(format!("{} of {} without a switch do not compile", unviable.len(), unknown.len()));
        for mutant in unknown.iter().filter(|mutant| unviable.contains(&mutant.name)) {
            shared.add(mutant, Means::Alone, (Outcome::Unviable, None), 0)?;
        }
        let benches = (0..request.workers).map(|number| {
            let bench = Bench::new(request.tree(&format!("alone-{number}"))?, request.recipe.clone())?;
            let suite = &suite;
            Ok(move |mutant: &Mutant, hint: Option<&Witness>| bench.judge(mutant, suite, hint))
        });
        let benches = benches.collect::<Result<Vec<_>, Trouble>>()?;
        shared.each(Means::Alone, without.into_iter(), benches)?;
    }
    let records = shared.records.into_inner().unwrap_or_else(PoisonError::into_inner);
    let result = |mutant: Mutant| {
        let record = records.last(&mutant.name).expect("each has been measured").clone();
        (mutant, record)
    };
    Ok(mutants.into_iter().map(result).collect())
}

fn mutants(request: &Request) -> Result<Vec<Mutant>, Trouble> {
    let all = match &request.list {
        Some(path) => list::parse(&fs::read_to_string(path).map_err(Trouble::file("read", path))?)?,
        None => list::list(&request.root, &request.recipe.package)?,
    };
    let is_wanted =
        |mutant: &Mutant| request.only.is_empty() || request.only.iter().any(|part| mutant.name.contains(part));
    Ok(all.into_iter().filter(is_wanted).collect())
}

/// What the workers share.
struct Shared<'s> {
    identity: Identity,
    records: Mutex<Records>,
    start: Instant,
    say: &'s (dyn Fn(String) + Sync),
}

impl Shared<'_> {
    fn records(&self) -> std::sync::MutexGuard<'_, Records> {
        self.records.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn program(&self, outcome: Outcome) -> &str {
        if outcome == Outcome::Unviable { &self.identity.sources } else { &self.identity.program }
    }

    /// Whether there is a result of this very program.
    fn is_known(&self, mutant: &Mutant) -> bool {
        self.records().last(&mutant.name).is_some_and(|record| record.program == self.program(record.outcome))
    }

    fn add(&self, mutant: &Mutant, means: Means, (outcome, by): Judged, time_ms: u64) -> Result<(), Trouble> {
        let program = self.program(outcome).to_owned();
        self.records().add(Record { mutant: mutant.name.clone(), program, means, outcome, by, time_ms })
    }

    /// Measures each mutant that has no result yet, with one thread for each of `judges`.
    fn each<'m, J>(
        &self,
        means: Means,
        mutants: impl Iterator<Item = &'m Mutant>,
        judges: Vec<J>,
    ) -> Result<(), Trouble>
    where
        J: FnMut(&Mutant, Option<&Witness>) -> Result<Judged, Trouble> + Send,
    {
        let queue: VecDeque<&Mutant> = mutants.filter(|mutant| !self.is_known(mutant)).collect();
        let all = queue.len();
        let queue = Mutex::new(queue);
        let take = || {
            let mut queue = queue.lock().unwrap_or_else(PoisonError::into_inner);
            queue.pop_front().map(|mutant| (mutant, all - queue.len()))
        };
        let work = |mut judge: J| {
            while let Some((mutant, number)) = take() {
                let start = Instant::now();
                let hint = self.records().last(&mutant.name).and_then(|record| record.by.clone());
                let (outcome, by) = judge(mutant, hint.as_ref())?;
                let time_ms = u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX);
                self.add(mutant, means, (outcome, by), time_ms)?;
                let is_shown =
                    matches!(outcome, Outcome::Missed | Outcome::TimedOut) || number % 50 == 0 || number == all;
                if is_shown {
                    let after = self.start.elapsed().as_secs();
                    (self.say)(format!("{number}/{all} after {after} s: {outcome:?} {}", mutant.name));
                }
            }
            Ok(())
        };
        thread::scope(|scope| {
            let threads: Vec<_> = judges.into_iter().map(|judge| scope.spawn(|| work(judge))).collect();
            threads.into_iter().try_for_each(|thread| thread.join().expect("a worker does not panic"))
        })
    }
}
