//! The guest's physical memory, as QEMU lays the shared file out in it.

use crate::Shared;
use seam_emu::{BadAddress, GuestMemory};
use std::sync::Arc;

/// A stretch of guest-physical addresses and where it lies in the shared memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RamRange {
    /// First guest-physical address.
    pub base: u64,
    /// Bytes.
    pub size: u64,
    /// Offset in the shared memory, bytes.
    pub offset: u64,
}

/// Guest RAM. What lies in no range, or reaches out of one, is no RAM; two ranges that touch are not one.
#[derive(Clone, Debug)]
pub struct GuestRam {
    memory: Arc<Shared>,
    ranges: Vec<RamRange>,
}

impl GuestRam {
    /// RAM at these ranges. Panics if one lies outside the memory: they are the rig's to say, not the guest's.
    pub fn new(memory: Arc<Shared>, ranges: Vec<RamRange>) -> Self {
        for range in &ranges {
            let end = range.offset.checked_add(range.size);
            assert!(end.is_some_and(|end| end <= memory.len() as u64), "{range:x?} is not in the memory");
        }
        Self { memory, ranges }
    }

    /// Offset of `[pa, pa + len)` in the shared memory.
    fn find(&self, pa: u64, len: usize) -> Result<usize, BadAddress> {
        let len = len as u64;
        let inside = |range: &&RamRange| {
            pa.checked_sub(range.base).is_some_and(|from| from.checked_add(len).is_some_and(|end| end <= range.size))
        };
        let range = self.ranges.iter().find(inside).ok_or(BadAddress(pa))?;
        usize::try_from(pa - range.base + range.offset).map_err(|_| BadAddress(pa))
    }
}

impl GuestMemory for GuestRam {
    fn read(&self, pa: u64, buf: &mut [u8]) -> Result<(), BadAddress> {
        if buf.is_empty() {
            return Ok(());
        }
        let offset = self.find(pa, buf.len())?;
        if self.memory.read(offset, buf) { Ok(()) } else { Err(BadAddress(pa)) }
    }

    fn write(&mut self, pa: u64, data: &[u8]) -> Result<(), BadAddress> {
        if data.is_empty() {
            return Ok(());
        }
        let offset = self.find(pa, data.len())?;
        if self.memory.write(offset, data) { Ok(()) } else { Err(BadAddress(pa)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pages at 0, one at 1 GiB.
    fn ram() -> GuestRam {
        let memory = Arc::new(Shared::create("ram", 3 * 4096).unwrap());
        let low = RamRange { base: 0, size: 8192, offset: 0 };
        GuestRam::new(memory, vec![low, RamRange { base: 1 << 30, size: 4096, offset: 8192 }])
    }

    #[test]
    fn both_parts_can_be_reached() {
        let mut ram = ram();
        ram.write(8190, &[1, 2]).unwrap();
        ram.write(1 << 30, &[3]).unwrap();
        let mut bytes = [0; 2];
        ram.read(8190, &mut bytes).unwrap();
        assert_eq!(bytes, [1, 2]);
        ram.read(1 << 30, &mut bytes).unwrap();
        assert_eq!(bytes, [3, 0]);
    }

    #[test]
    fn nothing_else_can() {
        let mut ram = ram();
        for pa in [8191, 8192, (1 << 30) - 1, (1 << 30) + 4095, u64::MAX, u64::MAX - 1] {
            assert!(ram.read(pa, &mut [0; 2]).is_err(), "{pa:#x}");
            assert!(ram.write(pa, &[0; 2]).is_err(), "{pa:#x}");
        }
        assert_eq!(ram.read(u64::MAX, &mut []), Ok(()), "no byte, no address");
    }
}
