//! How much of the SEAM range a module needs. Source: P-SEAMLDR `initialize_memory_constants`.

use crate::Config;
use crate::abi::PAGE_SIZE;
use crate::abi::sigstruct::SigStruct;
use crate::platform::Platform;

/// The code region is this big whatever the module's size.
const CODE_REGION_SIZE: u64 = 2 << 20;

/// Entries of a page table.
const ENTRIES: u64 = 512;

/// Bytes of the SEAM range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// Needed to load and run the module.
    pub(crate) needed: u64,
    /// Between the SEAM range's start and P-SEAMLDR.
    pub(crate) available: u64,
}

impl Layout {
    /// What a module with this sigstruct needs on this platform.
    pub(crate) fn plan(sig: &SigStruct, module_size: u64, platform: &Platform, config: &Config) -> Self {
        let pages = |minus_one: u64| (minus_one + 1) * PAGE_SIZE;
        let lps = addressable_lps(platform, config);
        let handoff = if sig.major_svn == 0 { 0 } else { pages(sig.num_handoff_pages.get().into()) };
        let data = pages(sig.num_tls_pages.into()) * lps + pages(sig.num_global_data_pages.get().into()) + handoff;
        // One shadow stack page per LP.
        let stacks = (pages(sig.num_stack_pages.into()) + PAGE_SIZE) * lps;
        let keyholes = pages(sig.num_keyhole_pages.get().into()) * lps;
        let keyhole_edit = (keyholes / PAGE_SIZE * 8).next_multiple_of(PAGE_SIZE);
        let mapped = [PAGE_SIZE, stacks, data, keyholes, keyhole_edit, module_size];
        let paging = (mapped.into_iter().map(page_tables_for).sum::<u64>() + 1) * PAGE_SIZE;
        let vmcss = PAGE_SIZE * lps;
        Self {
            needed: PAGE_SIZE + vmcss + stacks + data + paging + CODE_REGION_SIZE,
            available: platform.p_seamldr_range().base - platform.seamrr.base,
        }
    }
}

/// LPs that the package's APIC ids can tell apart, over all packages.
fn addressable_lps(platform: &Platform, config: &Config) -> u64 {
    let in_package = |package| config.lps.iter().filter(|lp| lp.package == package).count();
    let largest = (0..platform.packages).map(in_package).max().unwrap_or(0);
    largest.next_power_of_two() as u64 * u64::from(platform.packages)
}

/// Page tables of the three lower levels that P-SEAMLDR reckons with for `size` bytes: whole entries only, so that an area
/// of less than 2 MB has a table of the lowest level and none above. Source: P-SEAMLDR `page_tables_needed_to_map`.
fn page_tables_for(size: u64) -> u64 {
    let tables = |page: u64| (size / page).div_ceil(ENTRIES);
    tables(4 << 10) + tables(2 << 20) + tables(1 << 30)
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::FromZeros;

    /// Sizes of the released 1.5 modules.
    fn sigstruct() -> SigStruct {
        let mut sig = SigStruct::new_zeroed();
        sig.major_svn = 1;
        (sig.num_stack_pages, sig.num_tls_pages) = (1, 1);
        (sig.num_keyhole_pages, sig.num_global_data_pages) = (127.into(), 15.into());
        sig.num_handoff_pages = 13.into();
        sig
    }

    /// A platform whose packages have so many LPs.
    fn with_packages(lps: &[usize]) -> Config {
        let package_of = |(package, n): (usize, &usize)| vec![package as u32; *n];
        let mut config = Config::for_lps(lps.iter().sum());
        for (lp, package) in config.lps.iter_mut().zip(lps.iter().enumerate().flat_map(package_of)) {
            lp.package = package;
        }
        config
    }

    /// Pages that a module of 146 pages needs.
    fn pages(sig: &SigStruct, lps: &[usize]) -> u64 {
        let config = with_packages(lps);
        let layout = Layout::plan(sig, 146 * PAGE_SIZE, &Platform::new(&config), &config);
        assert_eq!(layout.available, 124 << 20);
        layout.needed / PAGE_SIZE
    }

    #[test]
    fn needed_pages_are_those_counted_by_hand() {
        // System information 1, code 512; by LP: VMCS 1, stacks 3, local data 2, keyholes 128 (not backed); global data 16,
        // handoff 14; tables: 1 and one for each of six areas, one more for each level that an area fills an entry of.
        assert_eq!(pages(&sigstruct(), &[1]), 1 + 512 + 6 + 30 + 7);
        assert_eq!(pages(&sigstruct(), &[4]), 1 + 512 + 4 * 6 + 30 + 8, "2 MB of keyholes fill an entry");
        assert_eq!(pages(&sigstruct(), &[3]), 1 + 512 + 4 * 6 + 30 + 8, "APIC ids of 3 LPs need 2 bits");
        assert_eq!(pages(&sigstruct(), &[1, 3]), 1 + 512 + 8 * 6 + 30 + 9, "4 MB of keyholes need a table more");
    }

    #[test]
    fn a_module_without_handoff_needs_no_pages_for_it() {
        let mut sig = sigstruct();
        sig.major_svn = 0;
        assert_eq!(pages(&sig, &[4]), 1 + 512 + 4 * 6 + 16 + 8);
    }

    #[test]
    fn tables_of_all_levels_are_counted() {
        let mut sig = sigstruct();
        sig.num_keyhole_pages = u16::MAX.into();
        // Keyholes of 2 GB and 4 MB of their entries.
        assert_eq!(pages(&sig, &[3, 4]), 1 + 512 + 8 * 6 + 30 + 1 + 4 + (1024 + 2 + 1) + (2 + 1));
        // Keyholes of 2 TB and 4 GB of their entries, stacks of 96 MB, data of 64 MB and 30 pages.
        let many = [1017, 1, 1, 1, 1, 1, 1, 1];
        let tables = 1 + 2 + (48 + 1) + (33 + 1) + ((1 << 20) + 2048 + 4) + (2048 + 4 + 1);
        assert_eq!(pages(&sig, &many), 1 + 512 + 8192 * 6 + 30 + tables);
    }
}
