//! VMCS fields by their encodings, and what P-SEAMLDR writes into an LP's SEAM VMCS.

use crate::layout::Layout;
use crate::sizes::Sizes;
use std::collections::HashMap;

/// Encodings. Source: Intel SDM, appendix B of volume 3; P-SEAMLDR 1.5.02 `seam_vmcs_setup.h`.
#[expect(missing_docs, reason = "named after the fields")]
pub mod field {
    pub const HOST_CS: u64 = 0xC02;
    pub const HOST_SS: u64 = 0xC04;
    pub const HOST_FS: u64 = 0xC08;
    pub const HOST_GS: u64 = 0xC0A;
    pub const HOST_TR: u64 = 0xC0C;
    pub const GUEST_DEBUGCTL: u64 = 0x2802;
    pub const HOST_PAT: u64 = 0x2C00;
    pub const HOST_EFER: u64 = 0x2C02;
    pub const EXIT_REASON: u64 = 0x4402;
    pub const EXIT_INTERRUPTION: u64 = 0x4404;
    pub const INSTRUCTION_LENGTH: u64 = 0x440C;
    pub const EXIT_QUALIFICATION: u64 = 0x6400;
    pub const GUEST_RIP: u64 = 0x681E;
    pub const GUEST_RFLAGS: u64 = 0x6820;
    pub const HOST_CR0: u64 = 0x6C00;
    pub const HOST_CR3: u64 = 0x6C02;
    pub const HOST_CR4: u64 = 0x6C04;
    pub const HOST_FS_BASE: u64 = 0x6C06;
    pub const HOST_GS_BASE: u64 = 0x6C08;
    pub const HOST_GDTR_BASE: u64 = 0x6C0C;
    pub const HOST_IDTR_BASE: u64 = 0x6C0E;
    pub const HOST_RSP: u64 = 0x6C14;
    pub const HOST_RIP: u64 = 0x6C16;
    pub const HOST_S_CET: u64 = 0x6C18;
    pub const HOST_SSP: u64 = 0x6C1A;
}

/// Exit reason of a SEAMCALL. Source: Intel TDX CPU architectural specification.
pub(crate) const EXIT_BY_SEAMCALL: u64 = 76;
/// Where a SEAM VMCS says that the VMM is before its first SEAMCALL. Source: P-SEAMLDR 1.5.02 `seam_vmcs_setup.c`.
const FIRST_GUEST_RIP: u64 = 1 << 60;
/// PE, ET, NE, WP, PG.
const CR0: u64 = 0x8001_0031;
/// DE, PAE, PGE, OSFXSR, OSXMMEXCPT, VMXE, FSGSBASE, OSXSAVE, SMEP, SMAP, CET.
const CR4: u64 =
    1 << 3 | 1 << 5 | 1 << 7 | 1 << 9 | 1 << 10 | 1 << 13 | 1 << 16 | 1 << 18 | 1 << 20 | 1 << 21 | 1 << 23;
/// LME, LMA, NXE.
const EFER: u64 = 0xD00;
/// Shadow stacks, ENDBR and no-track.
const S_CET: u64 = 0x15;
/// Write-back for all but uncached entries.
const PAT: u64 = 0x0006_0606_0606_0606;
/// Bits of the last word of a stack.
const WORD: u64 = 8;

/// A VMCS: fields by encoding. One that was never written is 0.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Vmcs(HashMap<u64, u64>);

impl Vmcs {
    /// A field's value.
    pub fn get(&self, encoding: u64) -> u64 {
        self.0.get(&encoding).copied().unwrap_or(0)
    }

    /// Sets a field.
    pub fn set(&mut self, encoding: u64, value: u64) {
        self.0.insert(encoding, value);
    }

    /// The VMCS with which P-SEAMLDR starts the LP with this x2APIC id. Source: P-SEAMLDR 1.5.02 `seam_vmcs_setup.c`.
    pub(crate) fn of_lp(layout: &Layout, entry: u64, apic_id: u32) -> Self {
        let (linear, sizes) = (&layout.linear, &layout.sizes);
        let stack = linear.stack + u64::from(apic_id) * sizes.stack_of_lp();
        let local = linear.data + layout.handoff_size() + u64::from(apic_id) * layout.local_size();
        let fields = [
            (field::GUEST_RIP, FIRST_GUEST_RIP),
            (field::HOST_CR0, CR0),
            (field::HOST_CR3, layout.pml4_pa),
            (field::HOST_CR4, CR4),
            (field::HOST_CS, 8),
            (field::HOST_SS, 0x10),
            (field::HOST_FS, 0x18),
            (field::HOST_GS, 0x18),
            (field::HOST_TR, 0x20),
            (field::HOST_PAT, PAT),
            (field::HOST_S_CET, S_CET),
            (field::HOST_EFER, EFER),
            (field::HOST_RIP, linear.code + entry),
            (field::HOST_FS_BASE, linear.sysinfo),
            (field::HOST_GS_BASE, local),
            (field::HOST_RSP, stack + Sizes::bytes(sizes.stack) - WORD),
            (field::HOST_SSP, stack + sizes.stack_of_lp() - WORD),
        ];
        Self(HashMap::from(fields))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::platform::Topology;

    #[test]
    fn lps_have_stacks_and_data_of_their_own() {
        let layout = Layout::plan(Topology { packages: 1, lps_per_package: 2 }, Sizes::default(), 0);
        let of = |lp| Vmcs::of_lp(&layout, 0x123, lp);
        assert_eq!(of(0).get(field::HOST_RIP), 0xFFFF_8000_0000_0123);
        assert_eq!(of(0).get(field::HOST_RSP), 0xFFFF_8001_0000_1FF8);
        assert_eq!(of(0).get(field::HOST_SSP), 0xFFFF_8001_0000_2FF8);
        assert_eq!(of(1).get(field::HOST_RSP), 0xFFFF_8001_0000_4FF8);
        assert_eq!(of(0).get(field::HOST_GS_BASE), 0xFFFF_8003_0000_E000);
        assert_eq!(of(1).get(field::HOST_GS_BASE), 0xFFFF_8003_0001_0000);
        assert_eq!(of(1).get(field::HOST_CR4), 0xB5_26A8);
        assert_eq!(of(1).get(field::EXIT_REASON), 0, "never written");
    }
}
