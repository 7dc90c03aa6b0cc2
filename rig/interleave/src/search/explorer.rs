//! What an exploration works with, and the first state.

use super::choice::Choice;
use super::families::{self, Family, MAX_FAMILIES};
use super::nodes::{MAX_NODES, Nodes};
use super::section::{MAX_CPUS, Section};
use super::state::{MAX_WORDS, State};
use crate::error::Unprovable;
use crate::firmware::Firmware;
use crate::image::Source;
use crate::local::{Input, Interpreter, Locals, Pending, RETURN, Ran, Stop, Vcpu, Write};
use crate::rules::{Ghost, Outcome};

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether one SEAMCALL, whichever, may fail in each documented way.
    pub failures: bool,
    /// Whether the content of queue nodes stays a part of the state while they are not in use, which must change no verdict.
    pub keeps_dead: bool,
    /// Whether all CPUs but the lead are taken as alike, so that states which differ by an exchange of them are one.
    pub symmetry: bool,
    /// The memory that the exploration may use, in MiB.
    pub memory_mib: usize,
}

/// An exploration of a section.
#[derive(Debug)]
pub struct Explorer<'a, S, F> {
    pub(super) interpreter: &'a mut Interpreter<S>,
    pub(super) firmware: &'a F,
    pub(super) section: &'a Section,
    pub(super) options: Options,
    pub(super) locals: Locals,
    /// Addresses of the shared words, in order; the place of each is its slot.
    pub(super) words: Vec<u64>,
    pub(super) nodes: Nodes,
    /// Words of which each CPU that is like the others has one.
    pub(super) families: Vec<Family>,
}

impl<'a, S: Source, F: Firmware> Explorer<'a, S, F> {
    /// An exploration that has not begun.
    pub fn new(interpreter: &'a mut Interpreter<S>, firmware: &'a F, section: &'a Section, options: Options) -> Self {
        let (locals, words, nodes, families) = (Locals::default(), Vec::new(), Nodes::default(), Vec::new());
        Self { interpreter, firmware, section, options, locals, words, nodes, families }
    }

    /// Private states that were found.
    pub fn locals(&self) -> &Locals {
        &self.locals
    }

    /// Addresses of the shared words.
    pub fn shared(&self) -> &[u64] {
        &self.words
    }

    pub(super) fn cpus(&self) -> usize {
        self.section.cpus()
    }

    /// How a CPU can go on.
    pub(super) fn choices(&self) -> &'static [Choice] {
        Choice::list(self.interpreter.setting.store_buffers, self.options.failures)
    }

    /// Forgets all private states, and makes the first state.
    pub(super) fn begin(&mut self) -> Result<State<F::State>, Stop> {
        self.locals = Locals::default();
        self.words = self.interpreter.facts.shared().collect();
        self.nodes = Nodes::new(&self.section.nodes, &self.words);
        self.check_bounds()?;
        self.find_families()?;
        let mut state = self.blank();
        for (slot, address) in self.words.iter().enumerate() {
            let unmapped =
                || Unprovable::Access { what: "no memory is known there", at: "the start".into(), address: *address };
            state.words[slot] = self.interpreter.memory.word(*address).ok_or_else(unmapped)?;
        }
        self.begin_cpus(&mut state)?;
        self.drop_dead_nodes(&mut state);
        Ok(state)
    }

    /// A state before anything has its place in it.
    pub(super) fn blank(&self) -> State<F::State> {
        let firmware = self.firmware.start(self.cpus());
        State { locals: [0; MAX_CPUS], words: [0; MAX_WORDS], dead: 0, sweeps: 0, firmware, ghost: Ghost::default() }
    }

    fn check_bounds(&self) -> Result<(), Unprovable> {
        let bound = |what, limit, has| if has > limit { Err(Unprovable::Bound { what, limit }) } else { Ok(()) };
        bound("CPUs", MAX_CPUS, self.cpus())?;
        bound("words that several CPUs touch", MAX_WORDS, self.words.len())?;
        bound("queue nodes", MAX_NODES, self.section.nodes.len())
    }

    fn find_families(&mut self) -> Result<(), Stop> {
        self.families.clear();
        if !self.options.symmetry {
            return Ok(());
        }
        if self.interpreter.setting.store_buffers {
            return Err(Unprovable::Uploader("symmetry is not argued for store buffers".into()).into());
        }
        let layout = &self.interpreter.layout;
        match families::find(&self.words, layout) {
            Ok(families) if families.len() > MAX_FAMILIES => {
                Err(Unprovable::Bound { what: "shared words of each CPU", limit: MAX_FAMILIES }.into())
            }
            Ok(families) => {
                self.families = families;
                Ok(())
            }
            Err(word) => {
                let all: Vec<u64> = (1..self.cpus())
                    .flat_map(|from| (1..self.cpus()).map(move |to| (from, to)))
                    .filter(|(from, _)| layout.area(*from).contains(&word))
                    .map(|(from, to)| layout.moved(word, from, to))
                    .collect();
                for word in all {
                    self.interpreter.facts.share(word);
                }
                Err(Stop::Restart("a word of a CPU that is like another is shared".into()))
            }
        }
    }

    /// What a CPU does next. CPUs that are alike do it with words of their own areas.
    pub(super) fn pending(&self, state: &State<F::State>, cpu: usize) -> Pending {
        let pending = self.locals.get(state.locals[cpu]).pending;
        if self.families.is_empty() || cpu < 2 {
            return pending;
        }
        let moved = |address: u64| self.interpreter.layout.moved(address, 1, cpu);
        match pending {
            Pending::Load { address, size } => Pending::Load { address: moved(address), size },
            Pending::Store(write) => Pending::Store(self.own(write, cpu)),
            Pending::Locked { address, size } => Pending::Locked { address: moved(address), size },
            Pending::Acquire { address, size } => Pending::Acquire { address: moved(address), size },
            pending => pending,
        }
    }

    /// A store of a CPU that is like others, into a word of its own area.
    pub(super) fn own(&self, write: Write, cpu: usize) -> Write {
        if self.families.is_empty() || cpu < 2 {
            write
        } else {
            Write { address: self.interpreter.layout.moved(write.address, 1, cpu), ..write }
        }
    }

    /// Every CPU executes up to its first operation; those that are alike do so together.
    fn begin_cpus(&mut self, state: &mut State<F::State>) -> Result<(), Stop> {
        let cpus = self.cpus();
        let alike = if self.options.symmetry { 1..cpus } else { 0..0 };
        let groups = (0..cpus).filter(|cpu| !alike.contains(cpu)).map(|cpu| cpu..cpu + 1);
        for group in groups.chain([alike.clone()]).filter(|group| !group.is_empty()) {
            let ran: Vec<Ran> = group.clone().map(|cpu| self.begin_cpu(cpu)).collect::<Result<_, _>>()?;
            let number = self.locals.number(ran, self.interpreter)?;
            state.locals[group].fill(number);
        }
        Ok(())
    }

    fn begin_cpu(&mut self, cpu: usize) -> Result<Ran, Stop> {
        if let Some(vcpu) = &self.section.starts[cpu] {
            return self.interpreter.run(vcpu.clone(), Input::Begin);
        }
        let vcpu = Vcpu::new(cpu as u8, RETURN);
        Ok(Ran { vcpu, write: None, issued: Vec::new(), pending: Pending::Done { returned: 0 } })
    }

    pub(super) fn slot(&self, address: u64) -> usize {
        self.words.binary_search(&(address & !7)).expect("a shared operation is on a shared word")
    }

    pub(super) fn has_slot(&self, address: u64) -> bool {
        self.words.binary_search(&(address & !7)).is_ok()
    }

    /// Whether all CPUs have left, and all that they stored is visible.
    pub(super) fn is_end(&self, state: &State<F::State>) -> bool {
        let left = |number: &u32| {
            let local = self.locals.get(*number);
            matches!(local.pending, Pending::Done { .. }) && local.buffer().is_empty()
        };
        state.locals[..self.cpus()].iter().all(left)
    }

    /// What each CPU returned, at the end.
    pub(super) fn returns(&self, state: &State<F::State>) -> Vec<u32> {
        let returned = |local: &u32| match self.locals.get(*local).pending {
            Pending::Done { returned } => returned,
            _ => unreachable!("every CPU has left"),
        };
        state.locals[..self.cpus()].iter().map(returned).collect()
    }

    /// Judges the end.
    pub(super) fn judge_end(&self, state: &State<F::State>) -> Result<Option<crate::rules::Rule>, Stop> {
        if self.section.control.is_none() {
            return Ok(None);
        }
        let returns = self.returns(state);
        let uploader_results = &self.section.uploader_results;
        if let Some(code) = returns.iter().find(|code| !uploader_results.contains_key(code)) {
            let error = format!("what it makes of {} was not looked at", code.cast_signed());
            return Err(Unprovable::Uploader(error).into());
        }
        let warned = state.locals[..self.cpus()].iter().any(|local| self.locals.get(*local).any().warned);
        let outcome = Outcome {
            returns: &returns,
            uploader_results: &|code| uploader_results.get(&code).copied().unwrap_or(0),
            warned,
            updated: self.firmware.is_updated(&state.firmware),
            recorded: self.is_recorded(state),
        };
        Ok(state.ghost.end(self.cpus(), &outcome))
    }

    fn is_recorded(&self, state: &State<F::State>) -> bool {
        let Some(record) = &self.section.record else { return true };
        let marked = record.lps.iter().chain([&record.initialized]).all(|flag| self.peek(state, *flag, 1) == Some(1));
        let part = |part: u8| self.peek(state, record.version + u64::from(part) * 2, 2);
        marked && (0..3).all(|number| part(number) == self.firmware.version(&state.firmware, number))
    }

    /// The value of memory at the end, whether shared or a CPU's own.
    fn peek(&self, state: &State<F::State>, address: u64, size: u8) -> Option<u64> {
        let word = address & !7;
        let own = || (0..self.cpus()).find_map(|cpu| self.locals.get(state.locals[cpu]).of(cpu).word(word));
        let value = match self.words.binary_search(&word) {
            Ok(slot) => Some(state.words[slot]),
            Err(_) => own().or_else(|| self.interpreter.memory.word(word)),
        };
        Some(value? >> ((address & 7) * 8) & crate::image::mask(size))
    }
}
