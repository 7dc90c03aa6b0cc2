//! Initial memory by words: a source, what was filled in, and regions of zeroes.

use super::source::Source;
use crate::error::Unprovable;
use sha2::{Digest, Sha256};
use std::collections::BTreeMap;
use std::ops::Range;

/// The lower `size` bytes of a word, `size` from 1 to 8.
pub const fn mask(size: u8) -> u64 {
    if size >= 8 { u64::MAX } else { (1 << (size * 8)) - 1 }
}

/// The longest instruction.
const MOST_BYTES: usize = 15;

/// Memory before the section. Words are 8 bytes at addresses that are multiples of 8.
#[derive(Debug)]
pub struct Memory<S> {
    source: S,
    filled: BTreeMap<u64, u64>,
    zeroes: Vec<Range<u64>>,
    code: BTreeMap<u64, u8>,
    added: Option<(u64, Vec<u8>)>,
}

impl<S: Source> Memory<S> {
    /// Memory as `source` has it.
    pub fn new(source: S) -> Self {
        Self { source, filled: BTreeMap::new(), zeroes: Vec::new(), code: BTreeMap::new(), added: None }
    }

    /// Where it comes from.
    pub fn source(&self) -> &S {
        &self.source
    }

    /// Adds a region of zeroes.
    pub fn zero(&mut self, region: Range<u64>) {
        self.zeroes.push(region);
    }

    /// The word at `address`, a multiple of 8; none where no memory is.
    pub fn word(&self, address: u64) -> Option<u64> {
        if let Some(value) = self.filled.get(&address) {
            return Some(*value);
        }
        if let Some(bytes) = self.source.bytes(address).and_then(|bytes| bytes.first_chunk()) {
            return Some(u64::from_le_bytes(*bytes));
        }
        self.zeroes.iter().any(|region| region.contains(&address)).then_some(0)
    }

    /// `size` bytes within one word.
    pub fn value(&self, address: u64, size: u8) -> Option<u64> {
        Some(self.word(address & !7)? >> ((address & 7) * 8) & mask(size))
    }

    /// Fills in `size` bytes within one word.
    pub fn fill(&mut self, address: u64, size: u8, value: u64) -> Result<(), Unprovable> {
        let word = address & !7;
        let unmapped = || Unprovable::Access { what: "no memory is there to fill in", at: "the boot".into(), address };
        let old = self.word(word).ok_or_else(unmapped)?;
        let shift = (address & 7) * 8;
        let bits = mask(size) << shift;
        self.filled.insert(word, old & !bits | value << shift & bits);
        Ok(())
    }

    /// Sets a whole word, whether or not memory was there before.
    pub fn set(&mut self, word: u64, value: u64) {
        self.filled.insert(word, value);
    }

    /// Changes bytes of the code; data there stays as it was.
    pub fn patch_code(&mut self, address: u64, bytes: &[u8]) {
        self.code.extend((address..).zip(bytes.iter().copied()));
    }

    /// Adds code of the proof's own where the source has none.
    pub fn add_code(&mut self, address: u64, bytes: Vec<u8>) {
        self.added = Some((address, bytes));
    }

    /// Up to 15 bytes of code at `address`, as they are executed.
    pub fn code(&self, address: u64) -> Option<Vec<u8>> {
        let added = || {
            let (start, bytes) = self.added.as_ref()?;
            let rest = bytes.get(usize::try_from(address.checked_sub(*start)?).ok()?..)?;
            Some(rest.iter().copied().take(MOST_BYTES).collect())
        };
        let mut bytes: Vec<u8> = added().unwrap_or_else(|| self.source.gather(address, MOST_BYTES));
        if bytes.is_empty() {
            return None;
        }
        for (at, byte) in self.code.range(address..address + bytes.len() as u64) {
            bytes[(at - address) as usize] = *byte;
        }
        Some(bytes)
    }

    /// SHA-256 of the source, of what was filled in and of what was patched.
    pub fn digest(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(self.source.digest());
        for (address, value) in &self.filled {
            hash.update(address.to_le_bytes());
            hash.update(value.to_le_bytes());
        }
        for region in &self.zeroes {
            hash.update(region.start.to_le_bytes());
            hash.update(region.end.to_le_bytes());
        }
        for (address, byte) in &self.code {
            hash.update(address.to_le_bytes());
            hash.update([*byte]);
        }
        hex::encode(hash.finalize())
    }
}

#[cfg(test)]
mod tests {
    use super::super::elf::ElfImage;
    use super::super::symbols::Symbols;
    use super::*;

    fn memory() -> Memory<ElfImage> {
        Memory::new(ElfImage::from_parts(vec![(0x1000, (0..32).collect())], Symbols::default()))
    }

    #[test]
    fn can_read_and_fill_within_a_word() {
        let mut memory = memory();
        assert_eq!(memory.value(0x1002, 2), Some(0x0302));
        let before = memory.digest();
        memory.fill(0x1002, 2, 0xbeef).unwrap();
        assert_eq!(memory.word(0x1000), Some(0x0706_0504_beef_0100));
        assert_ne!(memory.digest(), before, "what is filled in is part of the hash");
    }

    #[test]
    fn cannot_read_where_nothing_is() {
        let mut memory = memory();
        assert_eq!(memory.word(0x2000), None);
        assert!(memory.fill(0x2000, 8, 1).is_err());
        memory.zero(0x2000..0x2010);
        assert_eq!(memory.word(0x2008), Some(0));
        assert_eq!(memory.word(0x2010), None);
    }

    #[test]
    fn patched_code_is_executed_and_not_read() {
        let mut memory = memory();
        memory.patch_code(0x1001, &[0x90]);
        assert_eq!(memory.code(0x1000).unwrap()[..3], [0, 0x90, 2]);
        assert_eq!(memory.value(0x1001, 1), Some(1));
    }
}
