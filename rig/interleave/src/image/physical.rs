//! A machine that stands: physical memory, registers, and where page tables are.

use super::source::StandingCpu;
use std::ops::Range;

/// Physical memory, and the CPUs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StandingMachine {
    /// Content of memory.
    pub bytes: Vec<u8>,
    /// Physical addresses, and where in [`StandingMachine::bytes`] their content begins.
    pub ranges: Vec<(Range<u64>, usize)>,
    /// In the order of their numbers.
    pub cpus: Vec<StandingCpu>,
    /// CR3 and CR4 of the first.
    pub paging: [u64; 2],
}

impl StandingMachine {
    /// Memory from a physical address to the end of its range.
    pub fn physical(&self, address: u64) -> Option<&[u8]> {
        let (range, offset) = self.ranges.iter().find(|(range, _)| range.contains(&address))?;
        let length = (range.end - range.start) as usize;
        self.bytes.get(*offset..offset + length)?.get((address - range.start) as usize..)
    }

    /// 8 bytes of physical memory.
    pub(super) fn word(&self, address: u64) -> Option<u64> {
        self.physical(address)?.first_chunk().map(|bytes| u64::from_le_bytes(*bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_has_an_end() {
        let ranges = vec![(0x1000..0x1020, 4)];
        let machine = StandingMachine { bytes: (0..36).collect(), ranges, ..StandingMachine::default() };
        assert_eq!(machine.word(0x1008), Some(0x1312_1110_0f0e_0d0c));
        assert_eq!(machine.physical(0x101f), Some(&[35][..]));
        assert_eq!((machine.physical(0x1020), machine.physical(0xfff), machine.word(0x101c)), (None, None, None));
    }
}
