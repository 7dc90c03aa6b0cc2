//! The platform that the module finds: its LPs, its memory and its KeyIDs.

use seam_emu::{Config, LogicalProcessor, MemoryRange};

/// Bits of a physical address, those of the KeyID included. Source: TDX module 1.5.05 `cpuid_configurations.c`, which
/// verifies CPUID leaf 0x80000008.
pub(crate) const ADDRESS_BITS: u32 = 52;
/// Bits of a KeyID.
pub(crate) const KEYID_BITS: u32 = 6;
/// MKTME KeyIDs, which come first.
pub(crate) const MKTME_KEYIDS: u32 = 31;
/// TDX KeyIDs.
pub(crate) const TDX_KEYIDS: u32 = 32;
/// CPUID leaf 1 EAX: a Sapphire Rapids, which all 1.5 modules know.
pub(crate) const CPUID_1_EAX: u32 = 0x8_06F8;

/// Memory with a CMR: all but the first megabyte of 2 GB.
pub const MEMORY: MemoryRange = MemoryRange { base: 1 << 20, size: (2 << 30) - (1 << 20) };
/// The SEAM range, right above memory.
pub const SEAM_RANGE: MemoryRange = MemoryRange { base: 2 << 30, size: 128 << 20 };
/// The end of the SEAM range, which is P-SEAMLDR's.
pub(crate) const LOADER_SIZE: u64 = 32 << 20;
/// First byte of the SEAM range that is P-SEAMLDR's.
pub(crate) const MODULE_LIMIT: u64 = SEAM_RANGE.base + SEAM_RANGE.size - LOADER_SIZE;

/// Physical address bits below the KeyID.
const PA_BELOW_KEYID: u64 = (1 << (ADDRESS_BITS - KEYID_BITS)) - 1;

/// A physical address without its KeyID.
pub(crate) const fn without_keyid(pa: u64) -> u64 {
    pa & PA_BELOW_KEYID
}

/// The LPs, in packages of equal size. An LP's index is not its x2APIC id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Topology {
    /// Number of packages.
    pub packages: u32,
    /// LPs of each.
    pub lps_per_package: u32,
}

impl Topology {
    /// LPs in all.
    pub fn lps(self) -> usize {
        (self.packages * self.lps_per_package) as usize
    }

    /// Bits of an x2APIC id below the package's number, at least 1.
    pub fn package_shift(self) -> u32 {
        self.lps_per_package.next_power_of_two().ilog2().max(1)
    }

    /// The x2APIC id of an LP.
    pub fn apic_id(self, lp: usize) -> u32 {
        let lp = lp as u32;
        ((lp / self.lps_per_package) << self.package_shift()) | (lp % self.lps_per_package)
    }

    /// LPs that the x2APIC ids can tell apart: P-SEAMLDR has a VMCS and local data for each.
    /// Source: P-SEAMLDR 1.5.02 `seamldr_install.c`.
    pub fn addressable_lps(self) -> u64 {
        u64::from(self.packages) << self.package_shift()
    }

    /// The same platform for the model.
    pub fn model_config(self) -> Config {
        let lp = |lp: usize| LogicalProcessor { apic_id: self.apic_id(lp), package: lp as u32 / self.lps_per_package };
        Config {
            lps: (0..self.lps()).map(lp).collect(),
            mktme_keyids: MKTME_KEYIDS,
            tdx_keyids: TDX_KEYIDS,
            physical_address_bits: (ADDRESS_BITS - KEYID_BITS) as u8,
            memory: vec![MEMORY],
            seamrr: SEAM_RANGE,
            cpuid_1_eax: CPUID_1_EAX,
            machine_code: true,
            ..Config::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apic_ids_leave_room_for_the_packages_lps() {
        let two = Topology { packages: 2, lps_per_package: 2 };
        assert_eq!((0..two.lps()).map(|lp| two.apic_id(lp)).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let three = Topology { packages: 2, lps_per_package: 3 };
        assert_eq!((0..three.lps()).map(|lp| three.apic_id(lp)).collect::<Vec<_>>(), [0, 1, 2, 4, 5, 6]);
        assert_eq!(three.addressable_lps(), 8);
        assert_eq!(Topology { packages: 1, lps_per_package: 1 }.addressable_lps(), 2);
    }

    #[test]
    fn the_model_takes_the_platform() {
        for topology in [Topology { packages: 1, lps_per_package: 1 }, Topology { packages: 2, lps_per_package: 3 }] {
            assert_eq!(topology.model_config().validate(), Ok(()));
        }
    }

    #[test]
    fn keyids_are_taken_off_addresses() {
        assert_eq!(without_keyid(33 << 46 | 0x1234), 0x1234);
        assert_eq!(without_keyid(1 << 45), 1 << 45);
    }
}
