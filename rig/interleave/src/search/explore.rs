//! The search in breadth, which finds the shortest way to whatever is wrong first.

use super::explorer::Explorer;
use super::fingerprint;
use super::graph::Graph;
use super::operation::Taken;
use super::state::State;
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
    /// How often the search began again.
    pub restarts: usize,
}

/// What a search found wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The rule that is broken.
    pub rule: Rule,
    /// The shortest way there: CPUs' operations in words, and where each CPU is then.
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

/// States between two looks at memory and progress.
const BATCH: usize = 1 << 13;

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    /// Explores everything; `progress` is called now and then.
    pub fn explore(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Explored, Unprovable> {
        self.walk()?;
        self.interpreter.facts.settle();
        loop {
            match self.attempt(progress) {
                Ok(explored) => return Ok(explored),
                Err(Stop::Restart(_)) => self.interpreter.facts.restart(),
                Err(Stop::Unprovable(error)) => return Err(error),
                Err(Stop::At(_)) => unreachable!("operations are taken one at a time"),
            }
        }
    }

    fn attempt(&mut self, progress: &mut dyn FnMut(Progress)) -> Result<Explored, Stop> {
        let first = self.begin()?;
        let mut bytes = Vec::new();
        let (cpus, kinds) = (self.cpus(), self.kinds());
        let fingerprint = fingerprint::of(&first, cpus, self.words.len(), self.firmware, &mut bytes);
        let mut search = Search {
            graph: Graph::new(cpus * kinds.len(), fingerprint),
            next: Vec::new(),
            out: first,
            bytes,
            progress: Progress { restarts: self.interpreter.facts.restarts(), ..Progress::default() },
            returns: BTreeMap::new(),
            peak: 0,
        };
        if let Some(rule) = self.broken_at_start(&first)? {
            let steps = self.describe(&first, &[])?;
            return Ok(search.explored(Some(Finding { rule, steps, note: None })));
        }
        let mut front = vec![first];
        let mut from = 0;
        while !front.is_empty() {
            for state in &front {
                if (from as usize).is_multiple_of(BATCH) {
                    search.look(front.capacity(), self.options.memory_mib, progress)?;
                }
                if let Some((action, rule)) = self.expand(state, from, &mut search)? {
                    return self.broken(&first, &search, from, action, rule);
                }
                from += 1;
            }
            std::mem::swap(&mut front, &mut search.next);
            search.next.clear();
            search.progress.depth += 1;
        }
        search.look(front.capacity(), self.options.memory_mib, progress)?;
        let stuck = search.graph.stuck();
        let finding = stuck.map(|(count, state)| self.stuck(&first, &search, count, state)).transpose()?;
        Ok(search.explored(finding))
    }

    /// All operations of all CPUs in `state`; the first that breaks a rule.
    fn expand(
        &mut self,
        state: &State<F::State>,
        from: u32,
        search: &mut Search<F::State>,
    ) -> Result<Option<(u8, Rule)>, Stop> {
        let kinds = self.kinds();
        search.graph.expand();
        let mut any = false;
        for action in 0..self.cpus() * kinds.len() {
            let taken = self.take(state, action / kinds.len(), kinds[action % kinds.len()], &mut search.out)?;
            if taken == Taken::Disabled {
                continue;
            }
            any = true;
            search.progress.transitions += 1;
            if let Taken::Broke(rule) = taken {
                search.graph.break_at(from, action as u8);
                return Ok(Some((action as u8, rule)));
            }
            let fingerprint =
                fingerprint::of(&search.out, self.cpus(), self.words.len(), self.firmware, &mut search.bytes);
            if search.graph.connect(from, action as u8, fingerprint) {
                search.next.push(search.out);
            }
        }
        if !any && self.is_end(state) {
            search.graph.end(from);
            let returns = self.returns(state).into_iter().map(u32::cast_signed).collect();
            *search.returns.entry(returns).or_default() += 1;
        }
        Ok(None)
    }

    fn broken(
        &mut self,
        first: &State<F::State>,
        search: &Search<F::State>,
        from: u32,
        action: u8,
        rule: Rule,
    ) -> Result<Explored, Stop> {
        let mut actions = search.graph.path(from);
        actions.push(action);
        let steps = self.describe(first, &actions)?;
        Ok(search.explored(Some(Finding { rule, steps, note: None })))
    }

    fn stuck(
        &mut self,
        first: &State<F::State>,
        search: &Search<F::State>,
        count: usize,
        state: u32,
    ) -> Result<Finding, Stop> {
        let steps = self.describe(first, &search.graph.path(state))?;
        let note = format!("from here the end cannot be reached any more; there are {count} such states");
        Ok(Finding { rule: Rule::Progress, steps, note: Some(note) })
    }
}

/// What one attempt works with.
struct Search<F> {
    graph: Graph,
    next: Vec<State<F>>,
    out: State<F>,
    bytes: Vec<u8>,
    progress: Progress,
    returns: BTreeMap<Vec<i32>, usize>,
    peak: usize,
}

impl<F> Search<F> {
    fn look(&mut self, front: usize, limit_mib: usize, progress: &mut dyn FnMut(Progress)) -> Result<(), Unprovable> {
        let fronts = (front + self.next.capacity()) * size_of::<State<F>>();
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
