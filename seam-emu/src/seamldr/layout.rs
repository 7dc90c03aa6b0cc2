//! How much of the SEAM range a module needs. Source: P-SEAMLDR `initialize_memory_constants`.

use crate::Config;
use crate::abi::PAGE_SIZE;
use crate::abi::sigstruct::SigStruct;
use crate::platform::Platform;

/// The code region is this big whatever the module's size.
const CODE_REGION_SIZE: u64 = 2 << 20;

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

/// Page tables of the three lower levels that map `size` bytes.
fn page_tables_for(size: u64) -> u64 {
    size.div_ceil(2 << 20) + size.div_ceil(1 << 30) + size.div_ceil(512 << 30)
}
