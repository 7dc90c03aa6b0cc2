//! What a TDX module keeps of a TD's vCPU beside the registers that the processor switches.

use crate::ve::VeInfo;

/// CR4.PAE.
const PAE: u64 = 1 << 5;
/// CR4.MCE, which a TD cannot clear.
const MCE: u64 = 1 << 6;
/// CR4.VMXE, which TCG refuses.
const VMXE: u64 = 1 << 13;

/// What does not change while the vCPU exists, or is told at each entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Bits of a guest-physical address: 48 or 52. The highest one marks shared memory.
    pub gpaw: u8,
    /// The TD's ATTRIBUTES.
    pub attributes: u64,
    /// The TD's XFAM: what XCR0 may enable.
    pub xfam: u64,
    /// vCPUs that the TD has.
    pub vcpus: u32,
    /// vCPUs that it may have.
    pub max_vcpus: u32,
    /// This one's number, from 0.
    pub index: u32,
    /// The platform's CPUID leaf 1 EAX.
    pub cpuid_1_eax: u32,
}

/// State of a vCPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vcpu {
    /// Which vCPU of which TD.
    pub about: About,
    /// CR4 as the TD sees it; the real one is [`real_cr4`].
    pub cr4: u64,
    /// The #VE that the TD has not asked about yet.
    pub ve: Option<VeInfo>,
    /// The last exit was a TDG.VP.VMCALL with this mask of registers, which the next entry passes in.
    pub vmcall: Option<u64>,
    /// RIP of the TDCALL whose #UD comes next; none: a #UD is the TD's own.
    pub tdcall_at: Option<u64>,
    /// After a triple fault it cannot be entered.
    pub dead: bool,
}

impl Vcpu {
    /// As TDH.VP.INIT leaves it.
    pub fn new(about: About) -> Self {
        Self { about, cr4: MCE, ve: None, vmcall: None, tdcall_at: None, dead: false }
    }
}

/// What CR4 really holds while a TD believes in `shadow`.
///
/// PAE stays set: TCG's `do_vmexit()` restores CR0 before CR4, and with the guest's EFER.LME = 1 and CR4.PAE = 0 the host would go
/// on without paging (seen with QEMU 11.1.3). VMXE is the shadow's alone.
pub const fn real_cr4(shadow: u64) -> u64 {
    shadow & !VMXE | PAE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_real_cr4_always_has_pae_and_never_vmxe() {
        assert_eq!(real_cr4(MCE), 0x60);
        assert_eq!(real_cr4(0x2640), 0x660);
        assert_eq!(real_cr4(0x668), 0x668);
    }
}
