//! Where QEMU's q35 puts the guest's memory, which is what the emulated firmware's CMRs must describe.

use seam_emu::MemoryRange;
use seam_mailbox::RamRange;

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// From this size on, q35 keeps only 2 GiB below the PCI hole (`pc_q35_init`, 0xb0000000).
const SPLIT_FROM: u64 = 0xb000_0000;

/// Convertible memory of a q35 with this much memory: all but the first MiB, which Linux never gives to TDX.
pub fn convertible(memory_mib: u32) -> Vec<MemoryRange> {
    let size = u64::from(memory_mib) * MIB;
    if size < SPLIT_FROM {
        return vec![MemoryRange { base: MIB, size: size - MIB }];
    }
    let low = 2 * GIB;
    vec![MemoryRange { base: MIB, size: low - MIB }, MemoryRange { base: 4 * GIB, size: size - low }]
}

/// Where a q35 puts a file of this much memory in the guest-physical address space.
pub fn ranges(memory_mib: u32) -> Vec<RamRange> {
    let size = u64::from(memory_mib) * MIB;
    if size < SPLIT_FROM {
        return vec![RamRange { base: 0, size, offset: 0 }];
    }
    let low = RamRange { base: 0, size: 2 * GIB, offset: 0 };
    vec![low, RamRange { base: 4 * GIB, size: size - low.size, offset: low.size }]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_memory_is_one_range() {
        assert_eq!(convertible(512), [MemoryRange { base: MIB, size: 511 * MIB }]);
    }

    #[test]
    fn large_memory_goes_around_the_pci_hole() {
        let ranges = convertible(4096);
        assert_eq!(ranges.len(), 2);
        assert_eq!((ranges[0].end(), ranges[1].base, ranges[1].end()), (2 * GIB, 4 * GIB, 6 * GIB));
        assert_eq!(super::ranges(4096)[1], RamRange { base: 4 * GIB, size: 2 * GIB, offset: 2 * GIB });
        assert_eq!(convertible(2815).len(), 1);
        assert_eq!(convertible(2816).len(), 2);
    }
}
