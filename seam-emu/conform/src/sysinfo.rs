//! The system information table, by which P-SEAMLDR tells the module about the platform and its own memory.
//!
//! Source: TDX module 1.5.05 `loader_data.h`; P-SEAMLDR 1.5.02 `seamldr_install.c`.

use crate::layout::Layout;
use crate::module_file::PAGE;
use crate::platform::{CPUID_1_EAX, LOADER_SIZE, MEMORY, MODULE_LIMIT, Topology};

/// Offsets in the table.
mod at {
    pub(super) const LPS: usize = 8;
    pub(super) const SOCKETS: usize = 12;
    pub(super) const CPUIDS: usize = 16;
    pub(super) const LOADER_BASE: usize = 48;
    pub(super) const LOADER_SIZE: usize = 56;
    pub(super) const ACCESS_CONTROL_ONLY: usize = 65;
    pub(super) const CMRS: usize = 128;
    /// Base and size of code, data, stacks, keyholes, their entries; then the number of stack pages.
    pub(super) const REGIONS: usize = 2056;
    pub(super) const LOCAL_PAGES: usize = 2144;
    pub(super) const MODULE_HV: usize = 2152;
    pub(super) const MIN_UPDATE_HV: usize = 2154;
    pub(super) const NO_DOWNGRADE: usize = 2156;
    pub(super) const HANDOFF_PAGES: usize = 2158;
}

/// The handoff pages, minus 1, of which a table tells.
pub(crate) fn handoff_pages(table: &[u8; PAGE as usize]) -> u64 {
    u64::from(u16::from_le_bytes([table[at::HANDOFF_PAGES], table[at::HANDOFF_PAGES + 1]]))
}

/// The table for a module of so many pages.
pub(crate) fn table(topology: Topology, layout: &Layout, pages: u64) -> [u8; PAGE as usize] {
    let mut table = [0; PAGE as usize];
    let mut put = |offset: usize, bytes: &[u8]| table[offset..offset + bytes.len()].copy_from_slice(bytes);
    put(at::LPS, &(topology.packages * topology.lps_per_package).to_le_bytes());
    put(at::SOCKETS, &topology.packages.to_le_bytes());
    for package in 0..topology.packages as usize {
        put(at::CPUIDS + 4 * package, &CPUID_1_EAX.to_le_bytes());
    }
    put(at::LOADER_BASE, &MODULE_LIMIT.to_le_bytes());
    put(at::LOADER_SIZE, &LOADER_SIZE.to_le_bytes());
    put(at::ACCESS_CONTROL_ONLY, &[1]);
    put(at::CMRS, &MEMORY.base.to_le_bytes());
    put(at::CMRS + 8, &MEMORY.size.to_le_bytes());
    let (linear, sizes) = (&layout.linear, &layout.sizes);
    let regions = [
        linear.code,
        pages * PAGE,
        linear.data,
        layout.data_size(),
        linear.stack,
        layout.stack_size(),
        linear.keyhole,
        layout.keyhole_size(),
        linear.keyhole_edit,
        layout.keyhole_edit_size(),
        sizes.stack,
    ];
    for (i, value) in regions.into_iter().enumerate() {
        put(at::REGIONS + 8 * i, &value.to_le_bytes());
    }
    put(at::LOCAL_PAGES, &sizes.local.to_le_bytes());
    put(at::MODULE_HV, &sizes.module_hv.to_le_bytes());
    put(at::MIN_UPDATE_HV, &sizes.min_update_hv.to_le_bytes());
    put(at::NO_DOWNGRADE, &[u8::from(sizes.no_downgrade)]);
    put(at::HANDOFF_PAGES, &(sizes.handoff as u16).to_le_bytes());
    table
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sizes::Sizes;

    #[test]
    fn the_table_tells_of_platform_and_regions() {
        let topology = Topology { packages: 2, lps_per_package: 3 };
        let sizes = Sizes { module_hv: 1, no_downgrade: true, ..Sizes::default() };
        let layout = Layout::plan(topology, sizes, 0);
        let table = table(topology, &layout, 75);
        let word = |offset: usize| u64::from_le_bytes(table[offset..offset + 8].try_into().expect("8 bytes"));
        assert_eq!(word(8), 2 << 32 | 6, "LPs and sockets");
        assert_eq!(word(16), 0x8_06F8 << 32 | 0x8_06F8);
        assert_eq!(word(24), 0, "no third socket");
        assert_eq!((word(128), word(136), word(144)), (1 << 20, 0x7FF0_0000, 0), "one CMR");
        assert_eq!((word(2056), word(2064)), (0xFFFF_8000_0000_0000, 75 * PAGE));
        assert_eq!((word(2136), word(2144)), (1, 1), "stack and local pages");
        assert_eq!(word(2152), 1 | 1 << 32 | 13 << 48, "handoff versions and pages");
        assert_eq!(handoff_pages(&table), 13);
    }
}
