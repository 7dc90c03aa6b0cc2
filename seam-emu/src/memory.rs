//! Guest-physical memory, as the firmware reaches it.

use std::collections::BTreeMap;
use thiserror::Error;

/// The address is not backed by RAM.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("no RAM at physical address {0:#x}")]
pub struct BadAddress(pub u64);

/// Guest-physical memory.
pub trait GuestMemory {
    /// Fills `buf` from physical address `pa`; on error `buf` is unspecified.
    fn read(&self, pa: u64, buf: &mut [u8]) -> Result<(), BadAddress>;
    /// Writes `data` at physical address `pa`; on error memory is unspecified.
    fn write(&mut self, pa: u64, data: &[u8]) -> Result<(), BadAddress>;

    /// Clears these bits of the little-endian word at `pa`, a multiple of 8, and gives the word as it was. Memory that a guest's
    /// processors write at the same time does it in one step, so that nothing of theirs is lost; this does not.
    fn clear_bits(&mut self, pa: u64, bits: u64) -> Result<u64, BadAddress> {
        let mut word = [0; 8];
        self.read(pa, &mut word)?;
        let before = u64::from_le_bytes(word);
        if before & bits != 0 {
            self.write(pa, &(before & !bits).to_le_bytes())?;
        }
        Ok(before)
    }
}

/// Bytes per page.
const PAGE: u64 = 4096;

/// Memory for tests and benchmarks: `[0, size)`, zero until written, pages allocated when touched.
#[derive(Clone, Debug)]
pub struct SparseMemory {
    size: u64,
    pages: BTreeMap<u64, Box<[u8; PAGE as usize]>>,
}

impl SparseMemory {
    /// Memory of `size` bytes, a multiple of 4096.
    pub fn new(size: u64) -> Self {
        assert!(size.is_multiple_of(PAGE), "whole pages only");
        Self { size, pages: BTreeMap::new() }
    }

    /// Page number, offset in the page and length of the first piece of `[pa, pa + len)` that lies in one page.
    fn piece(&self, pa: u64, len: usize) -> Result<(u64, usize, usize), BadAddress> {
        if pa >= self.size {
            return Err(BadAddress(pa));
        }
        let offset = (pa % PAGE) as usize;
        Ok((pa / PAGE, offset, len.min(PAGE as usize - offset)))
    }
}

impl GuestMemory for SparseMemory {
    fn read(&self, mut pa: u64, mut buf: &mut [u8]) -> Result<(), BadAddress> {
        while !buf.is_empty() {
            let (page, offset, len) = self.piece(pa, buf.len())?;
            let (now, rest) = buf.split_at_mut(len);
            match self.pages.get(&page) {
                Some(bytes) => now.copy_from_slice(&bytes[offset..offset + len]),
                None => now.fill(0),
            }
            buf = rest;
            pa += len as u64;
        }
        Ok(())
    }

    fn write(&mut self, mut pa: u64, mut data: &[u8]) -> Result<(), BadAddress> {
        while !data.is_empty() {
            let (page, offset, len) = self.piece(pa, data.len())?;
            let (now, rest) = data.split_at(len);
            let bytes = self.pages.entry(page).or_insert_with(|| Box::new([0; PAGE as usize]));
            bytes[offset..offset + len].copy_from_slice(now);
            data = rest;
            pa += len as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_can_be_written_and_read_across_pages() {
        let mut memory = SparseMemory::new(3 * PAGE);
        memory.write(4090, &[1, 2, 3, 4, 5, 6, 7, 8, 9, 10]).expect("RAM");
        let mut bytes = [0xEE; 14];
        memory.read(4088, &mut bytes).expect("RAM");
        assert_eq!(bytes, [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0, 0]);
        let mut page = [0xEE; 4096];
        memory.read(2 * PAGE, &mut page).expect("RAM");
        assert_eq!(page, [0; 4096], "never written");
    }

    #[test]
    fn bits_are_cleared_and_told() {
        let mut memory = SparseMemory::new(PAGE);
        memory.write(8, &0xF0F1_u64.to_le_bytes()).expect("RAM");
        assert_eq!(memory.clear_bits(8, 0x00F0), Ok(0xF0F1));
        assert_eq!(memory.clear_bits(8, u64::MAX), Ok(0xF001));
        assert_eq!(memory.clear_bits(8, 1), Ok(0));
        assert_eq!(memory.clear_bits(PAGE, 1), Err(BadAddress(PAGE)));
    }

    #[test]
    fn nothing_can_be_reached_beyond_the_end() {
        let mut memory = SparseMemory::new(2 * PAGE);
        assert_eq!(memory.write(2 * PAGE - 2, &[1, 2]), Ok(()));
        assert_eq!(memory.write(2 * PAGE - 2, &[1, 2, 3]), Err(BadAddress(2 * PAGE)));
        assert_eq!(memory.read(2 * PAGE, &mut [0]), Err(BadAddress(2 * PAGE)));
        assert_eq!(memory.read(u64::MAX, &mut [0]), Err(BadAddress(u64::MAX)));
        assert_eq!(memory.read(u64::MAX, &mut []), Ok(()), "no byte, no address");
    }
}
