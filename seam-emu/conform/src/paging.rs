//! Page tables of the SEAM root, in physical memory.

use crate::module_file::PAGE;
use crate::platform::without_keyid;
use seam_emu::{BadAddress, GuestMemory};
use thiserror::Error;

/// Bits of an entry. Source: Intel SDM, 4-level paging.
pub(crate) mod bit {
    pub(crate) const PRESENT: u64 = 1;
    pub(crate) const WRITABLE: u64 = 1 << 1;
    pub(crate) const USER: u64 = 1 << 2;
    pub(crate) const ACCESSED: u64 = 1 << 5;
    pub(crate) const DIRTY: u64 = 1 << 6;
    pub(crate) const NO_EXECUTE: u64 = 1 << 63;
    /// The address.
    pub(crate) const ADDRESS: u64 = 0x000F_FFFF_FFFF_F000;
}

/// Why the module's memory could not be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum MemoryFault {
    #[error("linear address {0:#x} is not mapped")]
    NotMapped(u64),
    #[error(transparent)]
    NoRam(#[from] BadAddress),
}

/// Reads a 64-bit word.
pub(crate) fn read_u64(memory: &dyn GuestMemory, pa: u64) -> Result<u64, BadAddress> {
    let mut bytes = [0; 8];
    memory.read(pa, &mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// Writes a 64-bit word.
pub(crate) fn write_u64(memory: &mut dyn GuestMemory, pa: u64, value: u64) -> Result<(), BadAddress> {
    memory.write(pa, &value.to_le_bytes())
}

/// Where the entry for a linear address lies in a table of this level, 0 to 3.
const fn index(address: u64, level: u32) -> u64 {
    (address >> (12 + 9 * level) & 511) * 8
}

/// Makes page tables that grow down from the root.
pub(crate) struct Builder<'a> {
    memory: &'a mut dyn GuestMemory,
    root: u64,
    next_table: u64,
}

impl<'a> Builder<'a> {
    /// An empty root at this address.
    pub(crate) fn new(memory: &'a mut dyn GuestMemory, root: u64) -> Self {
        Self { memory, root, next_table: root - PAGE }
    }

    /// Maps a page: `leaf` is the whole entry, `table_bits` is added to the entry of the lowest table. Gives the table that
    /// holds the entry.
    pub(crate) fn map(&mut self, address: u64, leaf: u64, table_bits: u64) -> Result<u64, BadAddress> {
        use bit::{ACCESSED, ADDRESS, PRESENT, USER, WRITABLE};
        let mut table = self.root;
        for level in [3, 2, 1] {
            let entry_pa = table + index(address, level);
            let mut entry = read_u64(self.memory, entry_pa)?;
            if entry == 0 {
                entry = self.next_table | PRESENT | WRITABLE | ACCESSED | USER;
                entry |= if level == 1 { table_bits } else { 0 };
                write_u64(self.memory, entry_pa, entry)?;
                self.next_table -= PAGE;
            }
            table = entry & ADDRESS;
        }
        write_u64(self.memory, table + index(address, 0), leaf)?;
        Ok(table)
    }

    /// Maps pages that lie one after the other.
    pub(crate) fn map_range(&mut self, address: u64, pa: u64, size: u64, bits: u64) -> Result<(), BadAddress> {
        for offset in (0..size).step_by(PAGE as usize) {
            self.map(address + offset, (pa + offset) | bits, 0)?;
        }
        Ok(())
    }
}

/// The physical address, without a KeyID, to which the tables beneath `root` map a linear address.
pub(crate) fn walk(memory: &dyn GuestMemory, root: u64, address: u64) -> Result<u64, MemoryFault> {
    let mut table = without_keyid(root & bit::ADDRESS);
    for level in [3, 2, 1, 0] {
        let entry = read_u64(memory, table + index(address, level))?;
        if entry & bit::PRESENT == 0 {
            return Err(MemoryFault::NotMapped(address));
        }
        table = without_keyid(entry & bit::ADDRESS);
    }
    Ok(table | address & (PAGE - 1))
}

/// Pieces of `[address, address + length)` that do not cross a page: offset and length of each.
fn pieces(address: u64, length: usize) -> impl Iterator<Item = (usize, usize)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let rest = length - at;
        let in_page = (PAGE - (address.wrapping_add(at as u64) & (PAGE - 1))) as usize;
        let piece = (at, rest.min(in_page));
        at += piece.1;
        (rest > 0).then_some(piece)
    })
}

/// Reads from linear addresses.
pub(crate) fn read(memory: &dyn GuestMemory, root: u64, address: u64, buf: &mut [u8]) -> Result<(), MemoryFault> {
    for (at, length) in pieces(address, buf.len()) {
        let pa = walk(memory, root, address.wrapping_add(at as u64))?;
        memory.read(pa, &mut buf[at..at + length])?;
    }
    Ok(())
}

/// Writes to linear addresses.
pub(crate) fn write(memory: &mut dyn GuestMemory, root: u64, address: u64, data: &[u8]) -> Result<(), MemoryFault> {
    for (at, length) in pieces(address, data.len()) {
        let pa = walk(memory, root, address.wrapping_add(at as u64))?;
        memory.write(pa, &data[at..at + length])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use seam_emu::SparseMemory;

    const ROOT: u64 = 0x1_0000;

    fn mapped() -> SparseMemory {
        let mut memory = SparseMemory::new(1 << 20);
        let mut builder = Builder::new(&mut memory, ROOT);
        builder.map_range(0xFFFF_8003_0000_1000, 0x2_0000, 2 * PAGE, bit::PRESENT | bit::WRITABLE).expect("RAM");
        builder.map(0x1_0000_0000, 33 << 46 | 0x3_0000 | bit::PRESENT, bit::NO_EXECUTE).expect("RAM");
        memory
    }

    #[test]
    fn mapped_addresses_can_be_walked_and_keyids_do_not_matter() {
        let memory = mapped();
        assert_eq!(walk(&memory, ROOT, 0xFFFF_8003_0000_2123), Ok(0x2_1123));
        assert_eq!(walk(&memory, ROOT, 0x1_0000_0008), Ok(0x3_0008));
        assert_eq!(walk(&memory, 35 << 46 | ROOT, 0x1_0000_0008), Ok(0x3_0008));
    }

    #[test]
    fn addresses_that_are_not_mapped_cannot_be_walked() {
        for address in [0xFFFF_8003_0000_0000, 0xFFFF_8003_0000_3000, 0, 0x1_0000_1000] {
            assert_eq!(walk(&mapped(), ROOT, address), Err(MemoryFault::NotMapped(address)));
        }
    }

    #[test]
    fn bytes_can_be_read_and_written_across_pages_but_not_past_the_last() {
        let mut memory = mapped();
        write(&mut memory, ROOT, 0xFFFF_8003_0000_1FFE, &[1, 2, 3, 4]).expect("mapped");
        let mut bytes = [0; 4];
        memory.read(0x2_0FFE, &mut bytes).expect("RAM");
        assert_eq!(bytes, [1, 2, 3, 4]);
        read(&memory, ROOT, 0xFFFF_8003_0000_1FFF, &mut bytes[..2]).expect("mapped");
        assert_eq!(bytes, [2, 3, 3, 4]);
        let beyond = read(&memory, ROOT, 0xFFFF_8003_0000_2FFF, &mut bytes[..2]);
        assert_eq!(beyond, Err(MemoryFault::NotMapped(0xFFFF_8003_0000_3000)));
    }

    #[test]
    fn only_the_lowest_tables_entry_gets_the_extra_bits() {
        let memory = mapped();
        let with_it = (0..u64::from(PAGE as u32) * 8)
            .step_by(8)
            .filter(|offset| read_u64(&memory, ROOT - 7 * PAGE + offset).expect("RAM") >> 63 != 0);
        assert_eq!(with_it.count(), 1);
    }
}
