//! The module file that its user built: an ELF, as P-SEAMLDR takes it apart.

use object::LittleEndian;
use object::elf::{self, FileHeader64};
use object::read::StringTable;
use object::read::elf::{FileHeader as _, ProgramHeader as _, Rela as _, SectionHeader as _, SectionTable, Sym as _};
use std::ops::Range;
use thiserror::Error;

/// Bytes of a page.
pub(crate) const PAGE: u64 = 4096;
/// Most pages of a module. Source: P-SEAMLDR 1.5.02 `SEAMLDR_PARAMS_MAX_MODULE_PAGES`.
const MAX_PAGES: u64 = 496;
/// The mark of an image that P-SEAMLDR loads, at the start of blob version 0x100 and of 0x200.
const BLOB_MARK: &[u8] = b"TDX-BLOB";

/// Why a file is not run.
#[derive(Debug, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ModuleFileError {
    #[error(
        "this is an image with a signature, as Intel releases modules. Their licence allows them to be run on Intel's own \
         processors only, and neither to be taken apart nor to be emulated. Bring the ELF file of a module that you built \
         from Intel's published source, which is under the MIT licence"
    )]
    Signed,
    #[error(
        "this ELF file has no symbols, as the modules that Intel releases have none, and the licence of those does not \
         allow them to be emulated. Bring a module that you built yourself, before its symbols were stripped"
    )]
    Stripped,
    #[error("this is no ELF file of the x86-64 that could be a module ({0})")]
    NotElf(#[from] object::Error),
    #[error("the ELF file is for machine {0}, and a module is for x86-64 (62)")]
    Machine(u16),
    #[error("the module takes {0} pages, and P-SEAMLDR loads 1 to {MAX_PAGES}")]
    Size(u64),
    #[error("a segment or relocation at {0:#x} lies outside of the module's pages")]
    Outside(u64),
    #[error("relocation type {0}: P-SEAMLDR applies R_X86_64_RELATIVE (8) only")]
    Relocation(u32),
}

/// A word of the image that P-SEAMLDR adds the load address to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Where it lies in the image.
    pub offset: u64,
    /// What it points to in the image.
    pub addend: u64,
}

/// A module's file, taken apart.
#[derive(Clone, Debug, Default)]
pub struct ModuleFile {
    /// Offset of the first instruction of a SEAMCALL.
    pub entry: u64,
    /// The pages, segments at their addresses.
    pub image: Vec<u8>,
    /// Where the load address is added.
    pub relocations: Vec<Relocation>,
    /// Where machine code lies.
    pub code: Vec<Range<u64>>,
    /// Functions by their offsets, ascending.
    pub(crate) functions: Vec<(u64, String)>,
}

impl ModuleFile {
    /// Takes a file apart. Released images are refused.
    pub fn parse(file: &[u8]) -> Result<Self, ModuleFileError> {
        if file.starts_with(BLOB_MARK) || seam_emu::image::Image::parse(file).is_ok() {
            return Err(ModuleFileError::Signed);
        }
        let header = FileHeader64::<LittleEndian>::parse(file)?;
        let endian = header.endian()?;
        if header.e_machine(endian) != elf::EM_X86_64 {
            return Err(ModuleFileError::Machine(header.e_machine(endian)));
        }
        // Names of sections do not matter, so a file without them will do.
        let sections = SectionTable::new(header.section_headers(endian, file)?, StringTable::default());
        let symbols = sections.symbols(endian, file, elf::SHT_SYMTAB)?;
        if symbols.is_empty() {
            return Err(ModuleFileError::Stripped);
        }
        let image = image(header, file)?;
        let relocations = relocations(&sections, file, image.len() as u64)?;
        let mut functions: Vec<(u64, String)> = symbols
            .iter()
            .filter(|symbol| symbol.st_value(endian) != 0)
            .filter_map(|symbol| {
                let name = symbol.name(endian, symbols.strings()).ok()?;
                (!name.is_empty()).then(|| (symbol.st_value(endian), String::from_utf8_lossy(name).into_owned()))
            })
            .collect();
        functions.sort();
        let executable = |flags: u64| flags & u64::from(elf::SHF_EXECINSTR) != 0;
        let code = sections
            .iter()
            .filter(|section| executable(section.sh_flags(endian)))
            .map(|section| section.sh_addr(endian)..section.sh_addr(endian) + section.sh_size(endian))
            .collect();
        Ok(Self { entry: header.e_entry(endian), image, relocations, code, functions })
    }

    /// Number of pages.
    pub fn pages(&self) -> u64 {
        self.image.len() as u64 / PAGE
    }

    /// The function around an offset, and how far in it lies.
    pub fn name(&self, offset: u64) -> String {
        let behind = self.functions.partition_point(|(start, _)| *start <= offset);
        match behind.checked_sub(1).and_then(|i| self.functions.get(i)) {
            Some((start, name)) => format!("{name}+{:#x}", offset - start),
            None => format!("{offset:#x}"),
        }
    }
}

/// The pages with all segments in their places.
fn image(header: &FileHeader64<LittleEndian>, file: &[u8]) -> Result<Vec<u8>, ModuleFileError> {
    let endian = header.endian()?;
    let segments = header.program_headers(endian, file)?;
    let loaded = || segments.iter().filter(|segment| segment.p_type(endian) == elf::PT_LOAD);
    let end = |segment: &elf::ProgramHeader64<LittleEndian>| {
        segment.p_vaddr(endian).saturating_add(segment.p_memsz(endian).max(segment.p_filesz(endian)))
    };
    let pages = loaded().map(end).max().unwrap_or(0).div_ceil(PAGE);
    if pages == 0 || pages > MAX_PAGES {
        return Err(ModuleFileError::Size(pages));
    }
    let mut image = vec![0; (pages * PAGE) as usize];
    for segment in loaded() {
        let start = segment.p_vaddr(endian);
        let bytes = segment.data(endian, file).map_err(|()| ModuleFileError::Outside(start))?;
        image[start as usize..start as usize + bytes.len()].copy_from_slice(bytes);
    }
    Ok(image)
}

/// The relocations of all sections that have them, as P-SEAMLDR finds them. Source: P-SEAMLDR 1.5.02 `elf.c`.
fn relocations(
    sections: &SectionTable<'_, FileHeader64<LittleEndian>>,
    file: &[u8],
    size: u64,
) -> Result<Vec<Relocation>, ModuleFileError> {
    let endian: LittleEndian = LittleEndian;
    let mut found = Vec::new();
    for section in sections.iter() {
        let Some((entries, _)) = section.rela(endian, file)? else { continue };
        for entry in entries {
            let (offset, kind) = (entry.r_offset(endian), entry.r_type(endian, false));
            if kind != elf::R_X86_64_RELATIVE {
                return Err(ModuleFileError::Relocation(kind));
            }
            if offset.checked_add(8).is_none_or(|end| end > size) {
                return Err(ModuleFileError::Outside(offset));
            }
            found.push(Relocation { offset, addend: entry.r_addend(endian).cast_unsigned() });
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;
    use seam_emu::Generation;
    use seam_emu::image::{self, ImageSpec};

    #[test]
    fn signed_images_are_refused_with_a_word_about_their_licence() {
        let signed = image::build(&ImageSpec::of(Generation::V1_5_05));
        let refused = ModuleFile::parse(&signed).expect_err("it is signed");
        assert!(matches!(refused, ModuleFileError::Signed));
        assert!(refused.to_string().contains("licence"), "{refused}");
        assert!(matches!(ModuleFile::parse(b"TDX-BLOB and so on"), Err(ModuleFileError::Signed)));
    }

    #[test]
    fn stripped_modules_are_refused_as_released_ones_are_stripped() {
        let signed = image::build(&ImageSpec::of(Generation::V1_5_05));
        let module = image::Image::parse(&signed).expect("a valid file").module;
        assert!(matches!(ModuleFile::parse(&module), Err(ModuleFileError::Stripped)));
    }

    #[test]
    fn what_is_no_elf_file_is_refused() {
        assert!(matches!(ModuleFile::parse(b"\x7fELF"), Err(ModuleFileError::NotElf(_))));
        assert!(matches!(ModuleFile::parse(&[]), Err(ModuleFileError::NotElf(_))));
    }
}
