//! A machine's memory and registers as QEMU's `dump-guest-memory` writes them: an ELF file with physical memory.

use object::Endianness;
use object::elf::{FileHeader64, PT_LOAD};
use object::read::elf::{FileHeader, ProgramHeader};
use std::ops::Range;

/// Why a file is no such file.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CoreFileError {
    /// It is no ELF file, or a part of it is missing.
    #[error("the file of the machine's memory cannot be read: {0}")]
    Elf(#[from] object::read::Error),
    /// It has no note of QEMU, or one of another form.
    #[error("the file of the machine's memory has no note of a vCPU in a known form")]
    Note,
}

/// Physical memory, and the vCPUs.
#[derive(Debug, PartialEq, Eq)]
pub struct CoreFile {
    /// The whole file.
    pub bytes: Vec<u8>,
    /// Physical addresses, and where in the file their content begins.
    pub ranges: Vec<(Range<u64>, usize)>,
    /// In the order of their numbers.
    pub cpus: Vec<CoreCpu>,
}

/// A vCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CoreCpu {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
    pub gpr: [u64; 16],
    /// The next instruction.
    pub rip: u64,
    /// RFLAGS. QEMU keeps its arithmetic flags elsewhere, so only the others are right.
    pub rflags: u64,
    /// GS base.
    pub gs_base: u64,
    /// Where its page tables are.
    pub cr3: u64,
    /// Of what kind they are.
    pub cr4: u64,
}

/// `struct QEMUCPUState` of QEMU's `target/i386/arch_dump.c`, version 1: two numbers of 4 bytes, RAX, RBX, RCX, RDX, RSI, RDI,
/// RSP, RBP, R8 to R15, RIP, RFLAGS, ten segments of 24 bytes (CS, DS, ES, FS, GS, ...) with the base last, CR0 to CR4.
const QEMU_NOTE: &[u8] = b"QEMU";
const VERSION: u32 = 1;
const SEGMENTS: usize = 8 + 18 * 8;
const GS: usize = 4;
const CONTROL: usize = SEGMENTS + 10 * 24;
const LEAST: usize = CONTROL + 5 * 8;
/// The instruction set's number of each register of the note.
const ORDER: [usize; 16] = [0, 3, 1, 2, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15];

impl CoreFile {
    /// Reads the file.
    pub fn parse(bytes: Vec<u8>) -> Result<Self, CoreFileError> {
        let header = FileHeader64::<Endianness>::parse(bytes.as_slice())?;
        let endian = header.endian()?;
        let (mut ranges, mut cpus) = (Vec::new(), Vec::new());
        for part in header.program_headers(endian, bytes.as_slice())? {
            if part.p_type(endian) == PT_LOAD {
                let start = part.p_paddr(endian);
                // The content must be there.
                let content = part.data(endian, bytes.as_slice()).map_err(|()| CoreFileError::Note)?;
                ranges.push((start..start + content.len() as u64, part.p_offset(endian) as usize));
            }
            let Some(mut notes) = part.notes(endian, bytes.as_slice())? else { continue };
            while let Some(note) = notes.next()? {
                if note.name() == QEMU_NOTE {
                    cpus.push(cpu(note.desc()).ok_or(CoreFileError::Note)?);
                }
            }
        }
        if cpus.is_empty() { Err(CoreFileError::Note) } else { Ok(Self { bytes, ranges, cpus }) }
    }
}

fn cpu(note: &[u8]) -> Option<CoreCpu> {
    let word = |at: usize| u64::from_le_bytes(*note[at..].first_chunk().expect("the length was looked at"));
    if note.len() < LEAST || word(0) as u32 != VERSION {
        return None;
    }
    let mut gpr = [0; 16];
    for (place, number) in ORDER.into_iter().enumerate() {
        gpr[number] = word(8 + place * 8);
    }
    let (rip, rflags) = (word(8 + 16 * 8), word(8 + 17 * 8));
    let gs_base = word(SEGMENTS + GS * 24 + 16);
    Some(CoreCpu { gpr, rip, rflags, gs_base, cr3: word(CONTROL + 3 * 8), cr4: word(CONTROL + 4 * 8) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use object::elf::PT_NOTE;

    /// A file of one vCPU, whose registers have their places in the note as values, and of memory at 0x1000.
    fn file(memory: &[u8]) -> Vec<u8> {
        let mut note = [VERSION.to_le_bytes(), 0_u32.to_le_bytes()].concat();
        (0..18_u64).for_each(|place| note.extend(place.to_le_bytes()));
        for segment in 0..10_u64 {
            note.extend([0; 16]);
            note.extend((0x100 + segment).to_le_bytes());
        }
        (0x200..0x206_u64).for_each(|control| note.extend(control.to_le_bytes()));
        let head = [5_u32.to_le_bytes(), (note.len() as u32).to_le_bytes(), [0; 4]].concat();
        let note = [head, b"QEMU\0\0\0\0".to_vec(), note].concat();
        let (notes_at, memory_at) = (64 + 2 * 56, 64 + 2 * 56 + note.len());
        let mut file = b"\x7fELF\x02\x01\x01".to_vec();
        file.resize(16, 0);
        // A core file for x86-64, version 1, whose program headers come at 64: two of 56 bytes.
        file.extend([4_u16, 62].map(u16::to_le_bytes).concat());
        file.extend(1_u32.to_le_bytes());
        file.extend([0_u64, 64, 0].map(u64::to_le_bytes).concat());
        file.extend(0_u32.to_le_bytes());
        file.extend([64_u16, 56, 2, 0, 0, 0].map(u16::to_le_bytes).concat());
        let parts = [(PT_NOTE, notes_at, 0, note.len()), (PT_LOAD, memory_at, 0x1000, memory.len())];
        for (kind, at, physical, size) in parts {
            file.extend([kind, 0].map(u32::to_le_bytes).concat());
            let fields = [at as u64, 0, physical, size as u64, size as u64, 0];
            file.extend(fields.map(u64::to_le_bytes).concat());
        }
        [file, note, memory.to_vec()].concat()
    }

    #[test]
    fn registers_come_in_the_order_of_the_instruction_set() {
        let core = CoreFile::parse(file(&[7; 16])).unwrap();
        let [cpu] = core.cpus[..] else { panic!("{:?}", core.cpus) };
        // The note has RAX, RBX, RCX, RDX, RSI, RDI, RSP, RBP; the instruction set RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI.
        assert_eq!(cpu.gpr, [0, 2, 3, 1, 6, 7, 4, 5, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!((cpu.rip, cpu.rflags, cpu.gs_base, cpu.cr3, cpu.cr4), (16, 17, 0x104, 0x203, 0x204));
    }

    #[test]
    fn memory_is_where_the_headers_say() {
        let core = CoreFile::parse(file(&[7; 16])).unwrap();
        let [(range, at)] = &core.ranges[..] else { panic!("{:?}", core.ranges) };
        assert_eq!((range, &core.bytes[*at..]), (&(0x1000..0x1010), &[7; 16][..]));
    }

    #[test]
    fn what_is_cut_off_is_refused() {
        let whole = file(&[0; 32]);
        assert!(CoreFile::parse(whole[..whole.len() - 1].to_vec()).is_err());
        assert!(CoreFile::parse(whole[..100].to_vec()).is_err());
        assert!(CoreFile::parse(Vec::new()).is_err());
    }
}
