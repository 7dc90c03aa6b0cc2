//! The module as an ELF file: what P-SEAMLDR checks of it. Source: P-SEAMLDR `elf.c`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, Unaligned, byteorder::little_endian as le};

/// Magic, 64-bit class, little-endian, version 1.
const IDENT: [u8; 7] = [0x7F, b'E', b'L', b'F', 2, 1, 1];
/// Section type: relocations with addends.
pub(crate) const SHT_RELA: u32 = 4;
/// Section type: notes. Test images keep their descriptor in one.
pub(crate) const SHT_NOTE: u32 = 7;
/// The only relocation type that P-SEAMLDR applies.
pub(crate) const R_X86_64_RELATIVE: u64 = 8;

/// ELF file header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct FileHeader {
    pub(crate) ident: [u8; 16],
    pub(crate) kind: le::U16,
    pub(crate) machine: le::U16,
    pub(crate) version: le::U32,
    pub(crate) entry: le::U64,
    pub(crate) phoff: le::U64,
    pub(crate) shoff: le::U64,
    pub(crate) flags: le::U32,
    pub(crate) ehsize: le::U16,
    pub(crate) phentsize: le::U16,
    pub(crate) phnum: le::U16,
    pub(crate) shentsize: le::U16,
    pub(crate) shnum: le::U16,
    pub(crate) shstrndx: le::U16,
}

/// Section header.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Section {
    pub(crate) name: le::U32,
    pub(crate) kind: le::U32,
    pub(crate) flags: le::U64,
    pub(crate) addr: le::U64,
    pub(crate) offset: le::U64,
    pub(crate) size: le::U64,
    pub(crate) link: le::U32,
    pub(crate) info: le::U32,
    pub(crate) addralign: le::U64,
    pub(crate) entsize: le::U64,
}

/// Relocation with addend.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, KnownLayout, Immutable, Unaligned)]
#[repr(C)]
pub(crate) struct Rela {
    pub(crate) offset: le::U64,
    pub(crate) info: le::U64,
    pub(crate) addend: le::U64,
}

/// The image is no ELF file, or has a relocation that P-SEAMLDR does not apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotRelocatable;

/// `ident` of a file that P-SEAMLDR accepts.
pub(crate) fn ident() -> [u8; 16] {
    let mut ident = [0; 16];
    ident[..IDENT.len()].copy_from_slice(&IDENT);
    ident
}

/// The structure at `offset`, if it lies in the image.
fn at<T: FromBytes + Unaligned + KnownLayout + Immutable + Copy>(image: &[u8], offset: u64) -> Option<T> {
    let bytes = image.get(usize::try_from(offset).ok()?..)?;
    T::ref_from_prefix(bytes).ok().map(|(value, _)| *value)
}

/// The sections, none if a header lies outside the image.
pub(crate) fn sections(image: &[u8]) -> Option<Vec<Section>> {
    let header: FileHeader = at(image, 0)?;
    if header.ident[..IDENT.len()] != IDENT {
        return None;
    }
    let (start, step) = (header.shoff.get(), u64::from(header.shentsize.get()));
    (0..u64::from(header.shnum.get())).map(|i| at(image, start.checked_add(i * step)?)).collect()
}

/// Whether P-SEAMLDR could relocate the image. Applying the relocations would change nothing that can be observed.
pub(crate) fn check_relocations(image: &[u8]) -> Result<(), NotRelocatable> {
    for section in sections(image).ok_or(NotRelocatable)? {
        if section.kind.get() == SHT_RELA {
            check_section(image, &section).ok_or(NotRelocatable)?;
        }
    }
    Ok(())
}

/// None if a relocation lies outside the image, points outside it or is of another type.
fn check_section(image: &[u8], section: &Section) -> Option<()> {
    let (size, entry) = (image.len() as u64, section.entsize.get());
    for i in 0..section.size.get().checked_div(entry)? {
        let rela: Rela = at(image, section.addr.get().checked_add(i.checked_mul(entry)?)?)?;
        let inside = rela.offset.get() <= size - 8 && rela.addend.get() < size;
        if rela.info.get() != R_X86_64_RELATIVE || !inside {
            return None;
        }
    }
    Some(())
}
