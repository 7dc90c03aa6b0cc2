//! What an exploration works with, and the first state.

use super::section::{MAX_CPUS, Section};
use super::state::{MAX_WORDS, State};
use crate::error::Unprovable;
use crate::firmware::{Failure, Firmware};
use crate::image::Source;
use crate::local::{Input, Interpreter, Locals, Pending, RETURN, Ran, Stop, Vcpu};
use crate::rules::{Ghost, Outcome};

/// What is explored.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Whether one SEAMCALL, whichever, may fail in each documented way.
    pub failures: bool,
    /// Whether the content of queue nodes stays a part of the state while they are not in use, which must change no verdict.
    pub keeps_dead: bool,
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
}

impl<'a, S: Source, F: Firmware> Explorer<'a, S, F> {
    /// An exploration that has not begun.
    pub fn new(interpreter: &'a mut Interpreter<S>, firmware: &'a F, section: &'a Section, options: Options) -> Self {
        Self { interpreter, firmware, section, options, locals: Locals::default(), words: Vec::new() }
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

    /// How a step can go: as the state says, and with each failure.
    pub(super) fn kinds(&self) -> &'static [Option<Failure>] {
        const KINDS: [Option<Failure>; 4] = [None, Some(Failure::ALL[0]), Some(Failure::ALL[1]), Some(Failure::ALL[2])];
        if self.options.failures { &KINDS } else { &KINDS[..1] }
    }

    /// Forgets all private states, and makes the first state.
    pub(super) fn begin(&mut self) -> Result<State<F::State>, Stop> {
        self.locals = Locals::default();
        self.words = self.interpreter.facts.shared().collect();
        if self.cpus() > MAX_CPUS || self.words.len() > MAX_WORDS {
            let what = if self.cpus() > MAX_CPUS { "CPUs" } else { "words that several CPUs touch" };
            return Err(Unprovable::Bound { what, limit: if what == "CPUs" { MAX_CPUS } else { MAX_WORDS } }.into());
        }
        let firmware = self.firmware.start(self.cpus());
        let ghost = Ghost::default();
        let mut state = State { locals: [0; MAX_CPUS], words: [0; MAX_WORDS], dead: 0, firmware, ghost };
        for (slot, address) in self.words.iter().enumerate() {
            let unmapped =
                || Unprovable::Access { what: "no memory is known there", at: "the start".into(), address: *address };
            state.words[slot] = self.interpreter.memory.word(*address).ok_or_else(unmapped)?;
        }
        let section = self.section;
        for (cpu, start) in section.starts.iter().enumerate() {
            let ran = if let Some(vcpu) = start {
                self.interpreter.run(vcpu.clone(), Input::Begin)?
            } else {
                let vcpu = Vcpu::new(cpu as u8, RETURN);
                Ran { vcpu, write: None, pending: Pending::Done { returned: 0 } }
            };
            state.locals[cpu] = self.locals.number(ran, &self.interpreter.facts, &self.interpreter.memory);
        }
        self.drop_dead_nodes(&mut state);
        Ok(state)
    }

    pub(super) fn slot(&self, address: u64) -> usize {
        self.words.binary_search(&(address & !7)).expect("a shared operation is on a shared word")
    }

    /// Whether all CPUs have left.
    pub(super) fn is_end(&self, state: &State<F::State>) -> bool {
        let left = |local: &u32| matches!(self.locals.get(*local).pending, Pending::Done { .. });
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
        let warned = state.locals[..self.cpus()].iter().any(|local| self.locals.get(*local).vcpu.warned);
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
        marked && (0..3).all(|number| part(number) == Some(self.firmware.version(number, true)))
    }

    /// The value of memory at the end, whether shared or a CPU's own.
    fn peek(&self, state: &State<F::State>, address: u64, size: u8) -> Option<u64> {
        let word = address & !7;
        let own = || state.locals[..self.cpus()].iter().find_map(|local| self.locals.get(*local).vcpu.word(word));
        let value = match self.words.binary_search(&word) {
            Ok(slot) => Some(state.words[slot]),
            Err(_) => own().or_else(|| self.interpreter.memory.word(word)),
        };
        Some(value? >> ((address & 7) * 8) & crate::image::mask(size))
    }
}
