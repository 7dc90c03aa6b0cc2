//! The search in breadth, which finds the shortest way to whatever is wrong first.

use super::act::Act;
use super::expand::Broken;
use super::explorer::Explorer;
use super::fingerprint;
use super::graph::Graph;
use super::state::State;
use super::states::States;
use super::workers::Workers;
use crate::Packer;
use crate::error::Unprovable;
use crate::firmware::Firmware;
use crate::image::Source;
use crate::local::Stop;
use crate::rules::Rule;
use std::collections::BTreeMap;

/// How far a search is.
#[derive(Clone, Copy, Debug, Default)]
pub struct Progress {
    /// States found.
    pub states: usize,
    /// Operations done.
    pub transitions: u64,
    /// Length of the shortest way to the states that are looked at now.
    pub depth: usize,
}

/// What a search found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: Rule,
    /// The shortest way there.
    pub acts: Vec<Act>,
    /// What each CPU would do next; none if it has returned.
    pub next: Vec<Option<Act>>,
    /// The same in words, and where each CPU is at the end.
    pub steps: Vec<String>,
    /// Why it breaks the rule, where the last step does not say so.
    pub note: Option<String>,
}

/// A search that looked at everything, or found something wrong.
#[derive(Clone, Debug)]
pub struct Explored {
    /// What is wrong; none if nothing is.
    pub finding: Option<Finding>,
    /// States.
    pub states: usize,
    /// Operations from them.
    pub transitions: u64,
    /// Length of the longest of the shortest ways.
    pub depth: usize,
    /// States in which all CPUs have left.
    pub ends: usize,
    /// What the CPUs returned there, and in how many of these states.
    pub returns: BTreeMap<Vec<i32>, usize>,
    /// Peak of the memory that the search's own tables used, in bytes.
    pub bytes: usize,
}

/// States between two looks at memory and progress. What comes out does not depend on who works on them, nor how many.
const BATCH: usize = 1 << 13;

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    /// Explores everything; `progress` is called now and then.
    pub fn explore(
        &mut self,
        workers: &dyn Workers,
        progress: &mut dyn FnMut(Progress),
    ) -> Result<Explored, Unprovable> {
        self.walk()?;
        self.interpreter.facts.settle();
        loop {
            match self.attempt(workers, progress) {
                Ok(explored) => return Ok(explored),
                Err(Stop::Restart(_)) => self.interpreter.facts.restart(),
                Err(Stop::Unprovable(error)) => return Err(error),
                Err(Stop::At(_) | Stop::Unexecuted { .. }) => unreachable!("a batch executes what it lacks"),
            }
        }
    }

    fn attempt(&mut self, workers: &dyn Workers, progress: &mut dyn FnMut(Progress)) -> Result<Explored, Stop> {
        let state = self.begin()?;
        let fingerprint = fingerprint::of(&state, self.cpus(), self.words.len(), self.firmware, &mut Packer::default());
        let (graph, number) = Graph::new(self.cpus() * self.choices().len(), fingerprint);
        let mut search = Search {
            graph,
            next: States::new(self.words.len()),
            progress: Progress::default(),
            returns: BTreeMap::new(),
            peak: 0,
        };
        if let Some(rule) = self.broken_at_start(&state)? {
            let finding = self.finding(&state, &[], rule, None)?;
            return Ok(search.explored(Some(finding)));
        }
        let mut front = States::new(self.words.len());
        front.push(&state, number);
        while front.len() > 0 {
            for start in (0..front.len()).step_by(BATCH) {
                search.look(front.bytes(), self.options.memory_mib, progress)?;
                let range = start..(start + BATCH).min(front.len());
                let batch = self.expand(&front, range, &mut search.graph, &mut search.next, workers)?;
                search.progress.transitions += batch.transitions;
                for (end, returns) in batch.ends {
                    search.graph.end(end);
                    *search.returns.entry(returns).or_default() += 1;
                }
                if let Some(Broken { from, action, rule }) = batch.broken {
                    let mut actions = search.graph.path(from);
                    actions.push(action);
                    let finding = self.finding(&state, &actions, rule, None)?;
                    return Ok(search.explored(Some(finding)));
                }
            }
            std::mem::swap(&mut front, &mut search.next);
            search.next.clear();
            search.graph.begin_level();
            search.progress.depth += 1;
        }
        search.look(front.bytes(), self.options.memory_mib, progress)?;
        let finding = self.stuck(&state, &search)?;
        Ok(search.explored(finding))
    }

    fn stuck(&mut self, first: &State<F::State>, search: &Search<F::State>) -> Result<Option<Finding>, Stop> {
        let Some((count, state)) = search.graph.stuck() else { return Ok(None) };
        let note = format!("from here the end cannot be reached any more; there are {count} such states");
        self.finding(first, &search.graph.path(state), Rule::Progress, Some(note)).map(Some)
    }
}

/// What one attempt works with.
struct Search<F> {
    graph: Graph,
    next: States<F>,
    progress: Progress,
    returns: BTreeMap<Vec<i32>, usize>,
    peak: usize,
}

impl<F: Copy> Search<F> {
    fn look(&mut self, front: usize, limit_mib: usize, progress: &mut dyn FnMut(Progress)) -> Result<(), Unprovable> {
        let fronts = front + self.next.bytes();
        self.peak = self.peak.max(self.graph.bytes() + fronts);
        self.progress.states = self.graph.len();
        progress(self.progress);
        self.graph.check(fronts, limit_mib)
    }

    fn explored(&self, finding: Option<Finding>) -> Explored {
        Explored {
            finding,
            states: self.graph.len(),
            transitions: self.progress.transitions,
            depth: self.progress.depth,
            ends: self.graph.ends(),
            returns: self.returns.clone(),
            bytes: self.peak,
        }
    }
}
