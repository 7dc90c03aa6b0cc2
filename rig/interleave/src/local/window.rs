//! Memory as one CPU sees it during one instruction.

use super::facts::Facts;
use super::stop::Stop;
use super::vcpu::{Pending, Vcpu, Write};
use crate::error::Unprovable;
use crate::image::{Memory, Source, mask};
use crate::isa::{Access, Bus};
use std::collections::BTreeSet;
use std::ops::Range;

/// The bus of one instruction. An instruction makes at most one load and one store of shared words; others are not modelled.
pub(super) struct Window<'a, S> {
    pub(super) cpu: u8,
    pub(super) at: u64,
    /// Its stack.
    pub(super) stack: Range<u64>,
    /// Its private words, which the instruction may write.
    pub(super) own: &'a mut Vcpu,
    pub(super) facts: &'a mut Facts,
    pub(super) memory: &'a Memory<S>,
    /// What the one shared load finds, once it is its turn.
    pub(super) offered: Option<u64>,
    /// Whether the one shared store may be made.
    pub(super) permitted: bool,
    /// Whether stores go to the CPU's buffer.
    pub(super) buffers: bool,
    /// What the shared load found.
    pub(super) loaded: Option<u64>,
    /// The shared store that becomes visible at once.
    pub(super) stored: Option<Write>,
    /// The shared store that goes to the buffer.
    pub(super) issued: Option<Write>,
    /// Private words that were read, if the CPU may be waiting.
    pub(super) waiting: Option<&'a mut BTreeSet<u64>>,
}

impl<S: Source> Window<'_, S> {
    fn unprovable<T>(&self, what: &'static str, address: u64) -> Result<T, Stop> {
        let at = self.memory.source().symbols().name(self.at);
        Err(Stop::Unprovable(Unprovable::Access { what, at, address }))
    }

    fn touch(&mut self, word: u64, writes: bool) -> Result<bool, Stop> {
        if let Some(waiting) = self.waiting.as_deref_mut() {
            waiting.insert(word);
        }
        self.facts.touch(self.cpu, word, writes, self.memory.source().symbols())
    }

    fn word(&self, address: u64) -> Result<u64, Stop> {
        match self.own.word(address).or_else(|| self.memory.word(address)) {
            Some(value) => Ok(value),
            None => self.unprovable("no memory is known there", address),
        }
    }

    /// The words of an access, which are one or two, and whether they are shared; two shared ones are not modelled.
    fn words(&mut self, access: Access, writes: bool) -> Result<bool, Stop> {
        let first = access.address & !7;
        let shared = self.touch(first, writes)?;
        if (access.address & 7) + u64::from(access.size) <= 8 {
            return Ok(shared);
        }
        if self.touch(first + 8, writes)? || shared {
            return self.unprovable("a shared access crosses a word", access.address);
        }
        Ok(false)
    }

    fn private_load(&self, access: Access) -> Result<u64, Stop> {
        let first = access.address & !7;
        let shift = (access.address & 7) * 8;
        let low = self.word(first)? >> shift;
        let high = if shift + u64::from(access.size) * 8 > 64 { self.word(first + 8)? << (64 - shift) } else { 0 };
        Ok((low | high) & mask(access.size))
    }

    fn private_store(&mut self, access: Access, value: u64) -> Result<(), Stop> {
        let first = access.address & !7;
        let shift = (access.address & 7) * 8;
        let bits = u128::from(mask(access.size)) << shift;
        let value = u128::from(value & mask(access.size)) << shift;
        let low = self.word(first)?;
        self.own.set_word(first, low & !(bits as u64) | value as u64);
        if bits >> 64 != 0 {
            let high = self.word(first + 8)?;
            self.own.set_word(first + 8, high & !((bits >> 64) as u64) | (value >> 64) as u64);
        }
        Ok(())
    }

    fn shared_load(&mut self, access: Access) -> Result<u64, Stop> {
        if self.loaded.is_some() {
            return self.unprovable("an instruction reads shared memory twice", access.address);
        }
        let Access { address, size, locked, .. } = access;
        let Some(value) = self.offered.take() else {
            return Err(Stop::At(if locked {
                Pending::Locked { address, size }
            } else {
                Pending::Load { address, size }
            }));
        };
        self.loaded = Some(value);
        Ok(value)
    }

    fn shared_store(&mut self, access: Access, value: u64) -> Result<(), Stop> {
        let write = Write { address: access.address, size: access.size, value: value & mask(access.size) };
        if self.stored.is_some() || self.issued.is_some() {
            return self.unprovable("an instruction writes shared memory twice", access.address);
        }
        if access.locked && self.loaded.is_none() {
            return self.unprovable("a locked instruction writes what it did not read", access.address);
        }
        if !access.locked && self.buffers {
            self.issued = Some(write);
            return Ok(());
        }
        if !access.locked && !self.permitted {
            return Err(Stop::At(Pending::Store(write)));
        }
        self.stored = Some(write);
        Ok(())
    }
}

impl<S: Source> Bus for Window<'_, S> {
    type Stop = Stop;

    fn load(&mut self, access: Access) -> Result<u64, Stop> {
        if access.locked && !self.own.buffer.is_empty() && !self.facts.is_shared(access.address & !7) {
            return Err(Stop::At(Pending::Fence));
        }
        if self.stack.contains(&access.address) && access.address < access.stack_pointer {
            return self.unprovable("it reads below its stack pointer", access.address);
        }
        if self.words(access, false)? { self.shared_load(access) } else { self.private_load(access) }
    }

    fn store(&mut self, access: Access, value: u64) -> Result<(), Stop> {
        if self.words(access, true)? { self.shared_store(access, value) } else { self.private_store(access, value) }
    }
}
