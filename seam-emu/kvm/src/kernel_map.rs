//! Where the kernel's image lies in guest-physical memory.

/// First address of the kernel's image mapping. Source: `__START_KERNEL_map`, `arch/x86/include/asm/page_64_types.h`.
const START_KERNEL_MAP: u64 = 0xffff_ffff_8000_0000;
/// Size of that mapping. Source: `KERNEL_IMAGE_SIZE` with `CONFIG_RANDOMIZE_BASE`, the larger of its two values, same
/// file.
const KERNEL_IMAGE_SIZE: u64 = 1 << 30;

/// The mapping of the kernel's image.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KernelMap {
    /// What is added to an address's distance from `__START_KERNEL_map`: the kernel's own `phys_base`.
    pub phys_base: u64,
}

impl KernelMap {
    /// The guest-physical address of a guest virtual one in the kernel's image; none outside.
    pub fn physical(self, address: u64) -> Option<u64> {
        let offset = address.checked_sub(START_KERNEL_MAP).filter(|offset| *offset < KERNEL_IMAGE_SIZE)?;
        Some(offset.wrapping_add(self.phys_base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_image_is_mapped() {
        let map = KernelMap { phys_base: 0x20_0000 };
        assert_eq!(map.physical(0xffff_ffff_8100_0000), Some(0x120_0000));
        for outside in [0, 0xffff_8880_0000_0000, 0xffff_ffff_c000_0000, u64::MAX] {
            assert_eq!(map.physical(outside), None);
        }
    }
}
