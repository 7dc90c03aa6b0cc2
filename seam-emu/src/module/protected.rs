//! Memory that only the module can read: what it keeps in PAMTs and in pages it owns.
//!
//! Its bytes on hardware are encrypted with TDX keys; here they are values beside guest memory. They survive an update,
//! because updates leave memory alone.

use super::td::Td;
use super::td::vcpu::Vcpu;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Type of a physical page. Source: TDX module `page_type_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum PageType {
    /// Not the module's.
    Nda = 0,
    /// Reserved for non-TDX use.
    Rsvd = 1,
    /// A TD's private page.
    Reg = 3,
    /// A TD's root.
    Tdr = 4,
    /// Another page of a TD's or vCPU's control structure.
    Tdcx = 5,
    /// A vCPU's root.
    Tdvpr = 6,
    /// A table of a secure EPT.
    Ept = 8,
}

/// Entry of a physical page that is the module's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PamtEntry {
    pub(crate) kind: PageType,
    /// Physical address of the owning TD's TDR; 0 for a TDR itself.
    pub(crate) owner: u64,
    /// TLB epoch in which the page was blocked.
    pub(crate) bepoch: u64,
    /// Size: 0 is 4 KB, 1 is 2 MB, 2 is 1 GB (`page_size_t`).
    pub(crate) level: u8,
}

impl PamtEntry {
    /// The entry of a page of 4 KB.
    pub(crate) fn small(kind: PageType, owner: u64) -> Self {
        Self { kind, owner, bepoch: 0, level: 0 }
    }

    /// Pages of 4 KB that it stands for.
    pub(crate) fn pages(&self) -> u64 {
        1 << (9 * self.level)
    }
}

/// Contents of protected memory.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Protected {
    /// Pages that are the module's, by physical address; a large one is here once.
    pub(crate) pamt: BTreeMap<u64, PamtEntry>,
    /// TDs, by their TDR's physical address.
    pub(crate) tds: BTreeMap<u64, Td>,
    /// vCPUs, by their TDVPR's physical address.
    pub(crate) vcpus: BTreeMap<u64, Vcpu>,
    /// The last number that [`Protected::new_translations`] gave.
    translations: u64,
}

impl Protected {
    /// Without any of its contents.
    pub(crate) fn emptied(&self) -> Self {
        Self { translations: self.translations, ..Self::default() }
    }

    /// A number that no TD's translations have had.
    pub(crate) fn new_translations(&mut self) -> u64 {
        self.translations += 1;
        self.translations
    }
}
