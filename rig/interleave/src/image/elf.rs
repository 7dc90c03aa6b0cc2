//! A kernel's ELF file as memory.
//!
//! It is not the running kernel: alternatives are not applied, static branches have their initial direction, and variables
//! have the values of the file. What a boot would set is filled in by `kernel::boot`, each with its reason.

use super::source::{Source, StandingCpu};
use super::symbols::Symbols;
use crate::error::Unprovable;
use object::{Architecture, Object, ObjectSegment, ObjectSymbol, SymbolKind};
use sha2::{Digest, Sha256};

/// The loadable segments of a vmlinux.
#[derive(Clone, Debug)]
pub struct ElfImage {
    segments: Vec<(u64, Vec<u8>)>,
    symbols: Symbols,
    digest: String,
}

impl ElfImage {
    /// Reads the content of a vmlinux.
    pub fn parse(file: &[u8]) -> Result<Self, Unprovable> {
        let bad = |error: object::Error| Unprovable::Image(error.to_string());
        let elf = object::File::parse(file).map_err(bad)?;
        if elf.architecture() != Architecture::X86_64 {
            return Err(Unprovable::Image("it is not for x86-64".into()));
        }
        let mut segments = Vec::new();
        for segment in elf.segments() {
            let mut bytes = segment.data().map_err(bad)?.to_vec();
            bytes.resize(usize::try_from(segment.size()).expect("usize has 64 bits"), 0);
            segments.push((segment.address(), bytes));
        }
        let named = elf.symbols().filter(|s| !matches!(s.kind(), SymbolKind::Section | SymbolKind::File));
        let named = named.filter_map(|s| Some((s.name().ok()?.to_owned(), s.address(), s.size())));
        let symbols = Symbols::new(named.filter(|(name, ..)| !name.is_empty()));
        Ok(Self { segments, symbols, digest: hex::encode(Sha256::digest(file)) })
    }

    /// Memory and symbols of the caller's own making.
    pub fn from_parts(segments: Vec<(u64, Vec<u8>)>, symbols: Symbols) -> Self {
        let mut hash = Sha256::new();
        for (address, bytes) in &segments {
            hash.update(address.to_le_bytes());
            hash.update(bytes);
        }
        Self { segments, symbols, digest: hex::encode(hash.finalize()) }
    }

    /// Writes over bytes of the image, to plant an error. Returns whether there was something to write over.
    pub fn patch(&mut self, address: u64, bytes: &[u8]) -> bool {
        for (start, content) in &mut self.segments {
            let Some(offset) = address.checked_sub(*start).and_then(|o| usize::try_from(o).ok()) else { continue };
            if let Some(place) = content.get_mut(offset..offset + bytes.len()) {
                place.copy_from_slice(bytes);
                self.digest = hex::encode(Sha256::digest([self.digest.as_bytes(), bytes].concat()));
                return true;
            }
        }
        false
    }
}

impl Source for ElfImage {
    fn bytes(&self, address: u64) -> Option<&[u8]> {
        self.segments.iter().find_map(|(start, bytes)| {
            let offset = usize::try_from(address.checked_sub(*start)?).ok()?;
            bytes.get(offset..).filter(|rest| !rest.is_empty())
        })
    }

    fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    fn digest(&self) -> &str {
        &self.digest
    }

    fn cpus(&self) -> &[StandingCpu] {
        &[]
    }
}
