//! What follows from many states at once.

use super::explorer::Explorer;
use super::fingerprint;
use super::graph::{Edges, Graph, SHARDS, Shard, shard_of};
use super::operation::Taken;
use super::state::State;
use super::states::States;
use super::workers::{Job, Workers};
use crate::Packer;
use crate::firmware::Firmware;
use crate::image::Source;
use crate::local::{Input, Stop};
use crate::rules::Rule;
use std::ops::Range;

/// States that were not known before this batch, and how they were found.
struct Candidates<F> {
    found: Vec<(u128, u32, usize)>,
    states: States<F>,
}

impl<F: Copy> Candidates<F> {
    fn new(stride: usize) -> Self {
        Self { found: Vec::new(), states: States::new(stride) }
    }
}

/// What one worker found out about its part of a batch.
struct Part<F> {
    candidates: Vec<Candidates<F>>,
    transitions: u64,
    /// States in which all CPUs have left, with what they returned.
    ends: Vec<(u32, Vec<i32>)>,
    /// What was not executed yet; the batch is then done again.
    unexecuted: Vec<(u32, Input)>,
    /// What ends the part: an operation that breaks a rule, or something else.
    stop: Option<Result<Broken, Stop>>,
}

/// An operation that breaks a rule.
#[derive(Clone, Copy, Debug)]
pub(super) struct Broken {
    pub(super) from: u32,
    pub(super) action: usize,
    pub(super) rule: Rule,
}

/// What follows from a batch.
pub(super) struct Batch {
    pub(super) transitions: u64,
    pub(super) ends: Vec<(u32, Vec<i32>)>,
    pub(super) broken: Option<Broken>,
}

impl<S: Source, F: Firmware> Explorer<'_, S, F> {
    /// All operations of all CPUs in these states. The states that are new go to `next`, and all into `graph`.
    pub(super) fn expand(
        &mut self,
        states: &States<F::State>,
        range: Range<usize>,
        graph: &mut Graph,
        next: &mut States<F::State>,
        workers: &dyn Workers,
    ) -> Result<Batch, Stop> {
        let parts = loop {
            let parts = self.parts(states, range.clone(), graph, workers);
            if parts.iter().all(|part| part.unexecuted.is_empty()) {
                break parts;
            }
            for (local, input) in parts.iter().flat_map(|part| &part.unexecuted) {
                self.locals.execute(*local, *input, self.interpreter)?;
            }
        };
        let mut batch = Batch { transitions: 0, ends: Vec::new(), broken: None };
        let mut candidates: Vec<Vec<Candidates<F::State>>> = (0..SHARDS).map(|_| Vec::new()).collect();
        for part in parts {
            batch.transitions += part.transitions;
            batch.ends.extend(part.ends);
            for (shard, list) in candidates.iter_mut().zip(part.candidates) {
                shard.push(list);
            }
            // What later parts found lies behind.
            if let Some(stop) = part.stop {
                batch.broken = Some(stop?);
                break;
            }
        }
        number(&candidates, graph, next, self.words.len(), workers);
        if let Some(Broken { from, action, .. }) = batch.broken {
            graph.edges.break_at(from, action);
        }
        Ok(batch)
    }

    fn parts(
        &self,
        states: &States<F::State>,
        range: Range<usize>,
        graph: &Graph,
        workers: &dyn Workers,
    ) -> Vec<Part<F::State>> {
        let size = range.len().div_ceil(workers.count()).max(64);
        let ranges: Vec<Range<usize>> =
            range.clone().step_by(size).map(|start| start..(start + size).min(range.end)).collect();
        let mut parts: Vec<Option<Part<F::State>>> = ranges.iter().map(|_| None).collect();
        let jobs = parts.iter_mut().zip(ranges);
        let jobs = jobs.map(|(part, range)| Box::new(move || *part = Some(self.part(states, range, graph))) as Job<'_>);
        workers.run(jobs.collect());
        parts.into_iter().map(|part| part.expect("every job was done")).collect()
    }

    fn part(&self, states: &States<F::State>, range: Range<usize>, graph: &Graph) -> Part<F::State> {
        let mut part = Part {
            candidates: (0..SHARDS).map(|_| Candidates::new(self.words.len())).collect(),
            transitions: 0,
            ends: Vec::new(),
            unexecuted: Vec::new(),
            stop: None,
        };
        let (mut state, mut bytes) = (self.blank(), Packer::default());
        let mut out = state;
        for place in range {
            let number = states.get(place, &mut state);
            match self.one(&state, number, graph, &mut part, &mut out, &mut bytes) {
                Ok(None) => {}
                Ok(Some(broken)) => part.stop = Some(Ok(broken)),
                Err(stop) => part.stop = Some(Err(stop)),
            }
            if part.stop.is_some() {
                break;
            }
        }
        part
    }

    /// All operations of all CPUs in one state; the first that breaks a rule.
    fn one(
        &self,
        state: &State<F::State>,
        from: u32,
        graph: &Graph,
        part: &mut Part<F::State>,
        out: &mut State<F::State>,
        bytes: &mut Packer,
    ) -> Result<Option<Broken>, Stop> {
        let choices = self.choices();
        let mut any = false;
        for action in 0..self.cpus() * choices.len() {
            match self.take(state, action / choices.len(), choices[action % choices.len()], out) {
                Ok(Taken::Disabled) => continue,
                Ok(Taken::Broke(rule)) => {
                    part.transitions += 1;
                    return Ok(Some(Broken { from, action, rule }));
                }
                Ok(Taken::Went) => {}
                Err(Stop::Unexecuted { local, input }) => {
                    part.unexecuted.push((local, input));
                    any = true;
                    continue;
                }
                Err(stop) => return Err(stop),
            }
            any = true;
            part.transitions += 1;
            if self.options.symmetry {
                out.sort(self.cpus(), &self.families, self.firmware, |_, _| {});
            }
            let fingerprint = fingerprint::of(out, self.cpus(), self.words.len(), self.firmware, bytes);
            if let Some(to) = graph.shards[shard_of(fingerprint)].find(fingerprint) {
                graph.edges.connect(from, action, to);
            } else {
                let candidates = &mut part.candidates[shard_of(fingerprint)];
                candidates.found.push((fingerprint, from, action));
                candidates.states.push(out, 0);
            }
        }
        if !any && self.is_end(state) {
            part.ends.push((from, self.returns(state).into_iter().map(u32::cast_signed).collect()));
        }
        Ok(None)
    }
}

/// Numbers the candidates, part by part of the table, in their order.
fn number<F: Copy + Send + Sync>(
    candidates: &[Vec<Candidates<F>>],
    graph: &mut Graph,
    next: &mut States<F>,
    stride: usize,
    workers: &dyn Workers,
) {
    let mut new: Vec<States<F>> = (0..SHARDS).map(|_| States::new(stride)).collect();
    let edges = &graph.edges;
    let size = SHARDS.div_ceil(workers.count());
    let jobs = graph.shards.chunks_mut(size).zip(new.chunks_mut(size)).zip(candidates.chunks(size));
    let jobs = jobs.map(|((shards, new), lists)| {
        Box::new(move || {
            for ((shard, new), lists) in shards.iter_mut().zip(new).zip(lists) {
                for list in lists {
                    number_list(list, shard, edges, new);
                }
            }
        }) as Job<'_>
    });
    workers.run(jobs.collect());
    for found in &mut new {
        next.append(found);
    }
    graph.grow();
}

fn number_list<F: Copy>(list: &Candidates<F>, shard: &mut Shard, edges: &Edges, new: &mut States<F>) {
    for (place, (fingerprint, from, action)) in list.found.iter().enumerate() {
        let (number, is_new) = shard.number(*fingerprint, *from);
        edges.connect(*from, *action, number);
        if is_new {
            new.push_from(&list.states, place, number);
        }
    }
}
