//! TDMRs: the memory that the module may use.

use crate::abi::tdmr::{GRANULE, TdmrInfo};
use serde::{Deserialize, Serialize};

/// A TDMR after TDH.SYS.CONFIG.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tdmr {
    pub(crate) base: u64,
    pub(crate) size: u64,
    /// Its PAMT is initialised below this address.
    pub(crate) initialized_to: u64,
    /// Bases of its PAMTs for 1 GB, 2 MB and 4 KB pages.
    pub(crate) pamts: [u64; 3],
    /// Reserved areas, as offset and size in bytes.
    pub(crate) reserved: Vec<(u64, u64)>,
}

impl Tdmr {
    /// A TDMR that passed the checks.
    pub(crate) fn new(info: &TdmrInfo) -> Self {
        let used = info.reserved.iter().take_while(|area| area.size != 0);
        Self {
            base: info.base,
            size: info.size,
            initialized_to: info.base,
            pamts: [info.pamt_1g_base, info.pamt_2m_base, info.pamt_4k_base],
            reserved: used.map(|area| (area.offset, area.size)).collect(),
        }
    }

    /// First address after it.
    pub(crate) fn end(&self) -> u64 {
        self.base + self.size
    }

    /// Whether the page may be used: its 1 GB block's PAMT is initialised.
    pub(crate) fn is_usable(&self, pa: u64) -> bool {
        (self.base..self.initialized_to / GRANULE * GRANULE).contains(&pa)
    }

    /// Whether the page lies in a reserved area.
    pub(crate) fn is_reserved(&self, pa: u64) -> bool {
        let offset = pa - self.base;
        self.reserved.iter().any(|&(start, size)| (start..start + size).contains(&offset))
    }
}
