//! The hardware beneath the firmware: constants derived from the configuration, MSRs, physical addresses.

use crate::abi::Leaf;
use crate::{Config, MemoryRange};

/// Bytes at the end of the SEAM range that P-SEAMLDR itself takes (its size is P-SEAMLDR's own affair; unverified).
const P_SEAMLDR_RANGE_SIZE: u64 = 4 << 20;
/// A physical address has this many bits on every platform with TDX, KeyID bits included.
const MAX_PA_BITS: u32 = 52;

/// Facts about the platform that never change.
#[derive(Clone, Debug)]
pub(crate) struct Platform {
    pub(crate) packages: u32,
    /// Lowest KeyID that is TDX's.
    pub(crate) private_keyid_min: u16,
    /// Highest KeyID that is TDX's.
    pub(crate) private_keyid_max: u16,
    pub(crate) pa_bits: u32,
    pub(crate) keyid_bits: u32,
    tdx_keyid_bits: u32,
    pub(crate) seamrr: MemoryRange,
    mktme_keyids: u32,
    tdx_keyids: u32,
    lps_in_package_0: u32,
    /// Nanoseconds by [`Leaf::index`].
    leaf_ns: Vec<u64>,
    page_ns: u64,
}

/// A physical address that passed the checks for shared memory: aligned, below the address limit, with a shared KeyID,
/// outside the SEAM range. Only [`Platform::shared_pa`] makes one; the KeyID is stripped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SharedPa(pub(crate) u64);

/// A physical address of a 4 KB page without a KeyID. Only [`Platform::private_pa`] makes one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct PrivatePa(pub(crate) u64);

impl Platform {
    /// The platform that a valid configuration describes.
    pub(crate) fn new(config: &Config) -> Self {
        let keyids = 1 + config.mktme_keyids + config.tdx_keyids;
        let keyid_bits = u32::BITS - (keyids - 1).leading_zeros();
        let mktme_bits = u32::BITS - config.mktme_keyids.leading_zeros();
        let leaf_ns = Leaf::ALL
            .iter()
            .map(|leaf| config.durations.leaf_ns.get(leaf.name()).copied().unwrap_or(config.durations.default_ns))
            .collect();
        Self {
            packages: config.packages(),
            private_keyid_min: (config.mktme_keyids + 1) as u16,
            private_keyid_max: (config.mktme_keyids + config.tdx_keyids) as u16,
            pa_bits: u32::from(config.physical_address_bits),
            keyid_bits,
            tdx_keyid_bits: keyid_bits - mktme_bits,
            seamrr: config.seamrr,
            mktme_keyids: config.mktme_keyids,
            tdx_keyids: config.tdx_keyids,
            lps_in_package_0: config.lps.iter().filter(|lp| lp.package == 0).count() as u32,
            leaf_ns,
            page_ns: config.durations.page_ns,
        }
    }

    /// How long a call of `leaf` that touched `pages` pages lasts, in nanoseconds.
    pub(crate) fn duration_ns(&self, leaf: Leaf, pages: u64) -> u64 {
        self.leaf_ns[leaf.index()] + self.page_ns * pages
    }

    /// The KeyID in a physical address.
    pub(crate) fn keyid(&self, pa: u64) -> u16 {
        ((pa >> self.pa_bits) & ((1 << self.keyid_bits) - 1)) as u16
    }

    /// The physical address without its KeyID.
    pub(crate) fn strip_keyid(&self, pa: u64) -> u64 {
        pa & ((1 << self.pa_bits) - 1)
    }

    /// Whether no bit above address and KeyID is set.
    pub(crate) fn below_max_pa(&self, pa: u64) -> bool {
        pa >> (self.pa_bits + self.keyid_bits) == 0
    }

    /// Whether the KeyID is one of TDX's.
    pub(crate) fn is_private_keyid(&self, keyid: u16) -> bool {
        (self.private_keyid_min..=self.private_keyid_max).contains(&keyid)
    }

    /// Checks an alleged address of shared memory, aligned to its size in bytes (a power of two).
    /// Source: `shared_hpa_check_with_pwr_2_alignment` of both P-SEAMLDR and the TDX module.
    pub(crate) fn shared_pa(&self, alleged: u64, size: u64) -> Option<SharedPa> {
        let ok = alleged & (size - 1) == 0
            && self.below_max_pa(alleged)
            && !self.seamrr.overlaps(self.strip_keyid(alleged), size)
            && self.keyid(alleged) < self.private_keyid_min;
        ok.then(|| SharedPa(self.strip_keyid(alleged)))
    }

    /// Checks an alleged address of a page that is or becomes private: aligned to 4 KB, no KeyID, below the limit.
    /// Source: TDX module `hpa_check_with_pwr_2_alignment`.
    pub(crate) fn private_pa(&self, alleged: u64) -> Option<PrivatePa> {
        (alleged.is_multiple_of(4096) && alleged >> self.pa_bits == 0).then_some(PrivatePa(alleged))
    }

    /// First byte of P-SEAMLDR's part of the SEAM range; the module's part ends there.
    pub(crate) fn p_seamldr_range(&self) -> MemoryRange {
        MemoryRange { base: self.seamrr.end() - P_SEAMLDR_RANGE_SIZE, size: P_SEAMLDR_RANGE_SIZE }
    }

    /// Value of an MSR of the SEAM platform. Sources: TDX module and P-SEAMLDR `msr_defs.h`, Linux `msr-index.h`.
    pub(crate) fn msr(&self, index: u32) -> Option<u64> {
        let max_pa_mask = (1u64 << MAX_PA_BITS.min(self.pa_bits + self.keyid_bits)) - 1;
        match index {
            // IA32_MKTME_KEYID_PARTITIONING
            0x87 => Some(u64::from(self.mktme_keyids) | u64::from(self.tdx_keyids) << 32),
            // IA32_TME_ACTIVATE: locked, enabled, KeyID bits, of which TDX's
            0x982 => Some(0b11 | u64::from(self.keyid_bits) << 32 | u64::from(self.tdx_keyid_bits) << 36),
            // IA32_SEAMRR_PHYS_BASE
            0x1400 => Some(self.seamrr.base),
            // IA32_SEAMRR_PHYS_MASK: valid (bit 11) and locked (bit 10)
            0x1401 => Some(!(self.seamrr.size - 1) & max_pa_mask | 1 << 11 | 1 << 10),
            // MSR_CORE_THREAD_COUNT: one thread per core
            0x35 => Some(u64::from(self.lps_in_package_0) << 16 | u64::from(self.lps_in_package_0)),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn platform() -> Platform {
        Platform::new(&Config::for_lps(4))
    }

    #[test]
    fn msrs_have_the_documented_form() {
        let p = platform();
        assert_eq!(p.msr(0x87), Some(31 | 32 << 32));
        assert_eq!(p.msr(0x982), Some(3 | 6 << 32 | 1 << 36));
        assert_eq!(p.msr(0x1400), Some(0x20_0000_0000));
        assert_eq!(p.msr(0x1401), Some(0x000F_FFFF_F800_0C00));
        assert_eq!(p.msr(0x35), Some(4 << 16 | 4));
        assert_eq!(p.msr(0x480), None);
    }

    #[test]
    fn shared_addresses_can_have_a_shared_keyid() {
        assert_eq!(platform().shared_pa(31 << 46 | 0x1000, 4096), Some(SharedPa(0x1000)));
    }

    #[test]
    fn shared_addresses_cannot_be_unaligned_private_too_high_or_in_the_seam_range() {
        for pa in [0x800, 32 << 46 | 0x1000, 1 << 52, 0x20_0000_0000, 0x20_07FF_F000] {
            assert_eq!(platform().shared_pa(pa, 4096), None, "{pa:#x}");
        }
    }

    #[test]
    fn msrs_tell_of_other_platforms_too() {
        let config = Config { mktme_keyids: 0, tdx_keyids: 63, physical_address_bits: 40, ..Config::for_lps(3) };
        let p = Platform::new(&Config { seamrr: MemoryRange { base: 1 << 36, size: 32 << 20 }, ..config });
        assert_eq!(p.msr(0x87), Some(63 << 32));
        assert_eq!(p.msr(0x982), Some(3 | 6 << 32 | 6 << 36));
        assert_eq!(p.msr(0x1401), Some(0x3FFF_FE00_0C00));
        assert_eq!((p.private_keyid_min, p.private_keyid_max), (1, 63));
        assert_eq!(p.p_seamldr_range(), MemoryRange { base: (1 << 36) + (28 << 20), size: 4 << 20 });
        let mut split = Config { mktme_keyids: 32, tdx_keyids: 31, ..Config::for_lps(3) };
        split.lps[2].package = 1;
        let p = Platform::new(&split);
        assert_eq!(p.msr(0x982), Some(3 | 6 << 32), "6 bits, all of them MKTME's");
        assert_eq!(p.msr(0x35), Some(2 << 16 | 2), "of package 0");
        assert_eq!(p.packages, 2);
    }

    #[test]
    fn keyids_are_cut_out_of_addresses() {
        let p = platform();
        assert_eq!(p.keyid(33 << 46 | 0x1234), 33);
        assert_eq!(p.strip_keyid(33 << 46 | 0x1234), 0x1234);
        for (keyid, private) in [(0, false), (31, false), (32, true), (63, true), (64, false)] {
            assert_eq!(p.is_private_keyid(keyid), private, "{keyid}");
        }
        assert!(p.below_max_pa((1 << 52) - 1) && !p.below_max_pa(1 << 52));
    }

    #[test]
    fn calls_last_as_configured() {
        let mut config = Config::for_lps(1);
        config.durations = crate::Durations { default_ns: 5, page_ns: 3, ..crate::Durations::default() };
        config.durations.leaf_ns.insert("TDH.SYS.RD".to_owned(), 11);
        let p = Platform::new(&config);
        assert_eq!((p.duration_ns(Leaf::SysRd, 4), p.duration_ns(Leaf::SysRdall, 0)), (23, 5));
    }

    #[test]
    fn private_addresses_cannot_have_a_keyid() {
        assert_eq!(platform().private_pa(0x1000), Some(PrivatePa(0x1000)));
        assert_eq!(platform().private_pa(1 << 46 | 0x1000), None);
        assert_eq!(platform().private_pa(0x1001), None);
    }
}
