//! Where P-SEAMLDR puts what a module needs: physical and linear addresses.
//!
//! Source: P-SEAMLDR 1.5.02 `seamldr_install.c`, `seam_memory_map.c`.

use crate::module_file::PAGE;
use crate::platform::{MODULE_LIMIT, SEAM_RANGE, Topology};
use crate::sizes::Sizes;

/// The code region has this size whatever the module's.
const CODE_REGION: u64 = 2 << 20;
/// Bytes of a page table entry.
pub(crate) const ENTRY: u64 = 8;
/// Bits of a random number that move the linear addresses, and how far they are moved to the left.
const ASLR_BITS: (u64, u32) = (0x7FFC, 32);

/// Linear addresses of the regions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "named after the regions")]
pub struct Linear {
    pub code: u64,
    pub stack: u64,
    pub keyhole: u64,
    pub data: u64,
    pub sysinfo: u64,
    pub keyhole_edit: u64,
}

/// Where everything lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Linear addresses.
    pub linear: Linear,
    /// Physical address of the system information table.
    pub sysinfo_pa: u64,
    /// Physical address of the first LP's VMCS; the others follow.
    pub vmcs_pa: u64,
    /// Physical address of the data region, at whose start handoff data lies.
    pub data_pa: u64,
    /// Physical address of the root of the page tables. The others grow down from it.
    pub pml4_pa: u64,
    /// Physical address of the stacks.
    pub stack_pa: u64,
    /// Physical address of the code.
    pub code_pa: u64,
    /// LPs that x2APIC ids can tell apart.
    pub lps: u64,
    /// The sizes that it was made for.
    pub sizes: Sizes,
}

impl Layout {
    /// The layout on a platform; `random` moves the linear addresses.
    pub fn plan(topology: Topology, sizes: Sizes, random: u64) -> Self {
        let aslr = (random & ASLR_BITS.0) << ASLR_BITS.1;
        let lps = topology.addressable_lps();
        let vmcs_pa = SEAM_RANGE.base + PAGE;
        let code_pa = MODULE_LIMIT - CODE_REGION;
        let stack_pa = code_pa - sizes.stack_of_lp() * lps;
        Self {
            linear: Linear {
                code: 0xFFFF_8000_0000_0000 | aslr,
                stack: 0xFFFF_8001_0000_0000 | aslr,
                keyhole: 0xFFFF_8002_0000_0000 | aslr,
                data: 0xFFFF_8003_0000_0000 | aslr,
                sysinfo: 0xFFFF_8003_FFFF_0000 | aslr,
                keyhole_edit: 0x0000_0001_0000_0000 | aslr,
            },
            sysinfo_pa: SEAM_RANGE.base,
            vmcs_pa,
            data_pa: vmcs_pa + PAGE * lps,
            pml4_pa: stack_pa - PAGE,
            stack_pa,
            code_pa,
            lps,
            sizes,
        }
    }

    /// Physical address of the VMCS of the LP with this x2APIC id.
    pub fn vmcs_of(&self, apic_id: u32) -> u64 {
        self.vmcs_pa + PAGE * u64::from(apic_id)
    }

    /// Bytes of the handoff area.
    pub fn handoff_size(&self) -> u64 {
        Sizes::bytes(self.sizes.handoff)
    }

    /// Bytes of an LP's local data.
    pub(crate) fn local_size(&self) -> u64 {
        Sizes::bytes(self.sizes.local)
    }

    /// Bytes of the data region: handoff, local data of each LP, global data.
    pub fn data_size(&self) -> u64 {
        self.handoff_size() + self.local_size() * self.lps + Sizes::bytes(self.sizes.global)
    }

    /// Bytes of all stacks.
    pub(crate) fn stack_size(&self) -> u64 {
        self.sizes.stack_of_lp() * self.lps
    }

    /// Bytes of all keyholes.
    pub(crate) fn keyhole_size(&self) -> u64 {
        Sizes::bytes(self.sizes.keyhole) * self.lps
    }

    /// Bytes of the page table entries of all keyholes, in whole pages.
    pub(crate) fn keyhole_edit_size(&self) -> u64 {
        (self.keyhole_size() / PAGE * ENTRY).next_multiple_of(PAGE)
    }

    /// Where the page table entries of an LP's keyholes lie, and how many there are.
    pub(crate) fn keyhole_entries(&self, apic_id: u32) -> (u64, u64) {
        let entries = self.sizes.keyhole + 1;
        (self.linear.keyhole_edit + u64::from(apic_id) * entries * ENTRY, entries)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout() -> Layout {
        Layout::plan(Topology { packages: 2, lps_per_package: 2 }, Sizes::default(), 0)
    }

    #[test]
    fn regions_do_not_overlap() {
        let layout = layout();
        assert_eq!(layout.sysinfo_pa, 0x8000_0000);
        assert_eq!(layout.vmcs_of(3), 0x8000_4000);
        assert_eq!(layout.data_pa, 0x8000_5000);
        assert_eq!(layout.data_size(), (14 + 4 * 2 + 21) * PAGE);
        assert!(layout.data_pa + layout.data_size() < layout.pml4_pa);
        assert_eq!(layout.pml4_pa + PAGE, layout.stack_pa);
        assert_eq!(layout.stack_pa + layout.stack_size(), layout.code_pa);
        assert_eq!(layout.code_pa + CODE_REGION, MODULE_LIMIT);
    }

    #[test]
    fn a_random_number_moves_linear_addresses_only() {
        let moved = Layout::plan(Topology { packages: 2, lps_per_package: 2 }, Sizes::default(), u64::MAX);
        assert_eq!(moved.linear.code, 0xFFFF_FFFC_0000_0000);
        assert_eq!(moved.linear.keyhole_edit, 0x0000_7FFD_0000_0000);
        assert_eq!(Layout { linear: layout().linear, ..moved }, layout());
    }

    #[test]
    fn keyhole_entries_of_lps_follow_each_other() {
        let layout = layout();
        assert_eq!(layout.keyhole_entries(1), (0x1_0000_0400, 128));
        assert_eq!(layout.keyhole_edit_size(), PAGE);
    }
}
