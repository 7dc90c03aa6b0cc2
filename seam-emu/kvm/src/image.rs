//! A kernel's ELF file: what its text is expected to be before it is rewritten.

use crate::Symbols;
use object::{Architecture, Object, ObjectSection, ObjectSegment, ObjectSymbol, SectionKind, SymbolKind};

/// Why a file is no kernel.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// It cannot be parsed.
    #[error("the kernel's file is no ELF file: {0}")]
    Elf(#[from] object::Error),
    /// It is for another machine.
    #[error("the kernel's file is not for x86-64")]
    Architecture,
}

/// A loadable segment.
#[derive(Clone, Debug)]
pub struct Segment {
    /// Guest virtual address.
    pub address: u64,
    /// Bytes in the file; memory behind them is zero.
    pub bytes: Vec<u8>,
}

/// The segments, code ranges and symbols of a vmlinux.
#[derive(Clone, Debug, Default)]
pub struct KernelImage {
    segments: Vec<Segment>,
    text: Vec<(u64, u64)>,
    symbols: Symbols,
}

impl KernelImage {
    /// Reads the content of a vmlinux.
    pub fn parse(file: &[u8]) -> Result<Self, ImageError> {
        let elf = object::File::parse(file)?;
        if elf.architecture() != Architecture::X86_64 {
            return Err(ImageError::Architecture);
        }
        let mut segments = Vec::new();
        for segment in elf.segments() {
            segments.push(Segment { address: segment.address(), bytes: segment.data()?.to_vec() });
        }
        let code = elf.sections().filter(|section| section.kind() == SectionKind::Text);
        let text = code.map(|section| (section.address(), section.size())).collect();
        let named = elf.symbols().filter(|s| !matches!(s.kind(), SymbolKind::Section | SymbolKind::File));
        let symbols = named.filter_map(|s| {
            let name = s.name().ok().filter(|name| !name.is_empty())?;
            Some((name.to_owned(), s.address(), s.size(), s.kind() == SymbolKind::Text))
        });
        Ok(Self { segments, text, symbols: Symbols::new(symbols) })
    }

    /// Code and symbols of the caller's own making: (guest virtual address, bytes), all of it text.
    pub fn of_parts(code: Vec<(u64, Vec<u8>)>, symbols: Symbols) -> Self {
        let text = code.iter().map(|(address, bytes)| (*address, bytes.len() as u64)).collect();
        let segments = code.into_iter().map(|(address, bytes)| Segment { address, bytes }).collect();
        Self { segments, text, symbols }
    }

    /// The loadable segments.
    pub fn segments(&self) -> &[Segment] {
        &self.segments
    }

    /// The symbols.
    pub fn symbols(&self) -> &Symbols {
        &self.symbols
    }

    /// Ranges of code: (guest virtual address, bytes).
    pub fn text(&self) -> &[(u64, u64)] {
        &self.text
    }

    /// The bytes at a guest virtual address; none where the file has fewer.
    pub fn bytes(&self, address: u64, length: u64) -> Option<&[u8]> {
        let length = usize::try_from(length).ok()?;
        self.segments.iter().find_map(|segment| {
            let offset = usize::try_from(address.checked_sub(segment.address)?).ok()?;
            segment.bytes.get(offset..offset.checked_add(length)?)
        })
    }

    /// Writes over bytes, to plant an error; false where the file has none.
    pub fn patch(&mut self, address: u64, bytes: &[u8]) -> bool {
        let place = self.segments.iter_mut().find_map(|segment| {
            let offset = usize::try_from(address.checked_sub(segment.address)?).ok()?;
            segment.bytes.get_mut(offset..offset.checked_add(bytes.len())?)
        });
        place.is_some_and(|place| {
            place.copy_from_slice(bytes);
            true
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_found_and_can_be_written_over() {
        let mut image = KernelImage::of_parts(vec![(0x1000, vec![1, 2, 3, 4])], Symbols::default());
        assert_eq!(image.bytes(0x1001, 2), Some(&[2, 3][..]));
        assert_eq!((image.bytes(0x1003, 2), image.bytes(0xfff, 1), image.bytes(u64::MAX, 1)), (None, None, None));
        assert!(image.patch(0x1002, &[9, 9]) && !image.patch(0x1003, &[9, 9]));
        assert_eq!(image.bytes(0x1000, 4), Some(&[1, 2, 9, 9][..]));
    }

    #[test]
    fn something_else_is_no_kernel() {
        assert!(matches!(KernelImage::parse(b"text"), Err(ImageError::Elf(_))));
    }
}
