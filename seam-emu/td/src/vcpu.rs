//! What a TDX module keeps of a TD's vCPU beside the registers that the processor switches.

use crate::apic::Apic;
use crate::ve::VeInfo;
use std::collections::BTreeMap;

/// The PAT that every processor starts with (SDM volume 3, 13.12.4), and its register.
pub(crate) const PAT: u64 = 0x0007_0406_0007_0406;
const IA32_PAT: u32 = 0x277;
/// What XCR0 is after TDH.VP.INIT: x87 (TDX module `tdh_vp_init.c`).
const INITIAL_XCR0: u64 = 1;
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
    /// `IA32_ARCH_CAPABILITIES` as the TD sees it.
    pub arch_capabilities: u64,
}

/// State of a vCPU.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Vcpu {
    /// Which vCPU of which TD.
    pub about: About,
    /// CR4 as the TD sees it; the real one is [`real_cr4`].
    pub cr4: u64,
    /// XCR0.
    pub xcr0: u64,
    /// The #VE that the TD has not asked about yet.
    pub ve: Option<VeInfo>,
    /// The last exit was a TDG.VP.VMCALL with this mask of registers, which the next entry passes in.
    pub vmcall: Option<u64>,
    /// RIP of the TDCALL whose #UD comes next; none: a #UD is the TD's own.
    pub tdcall_at: Option<u64>,
    /// After a triple fault it cannot be entered.
    pub dead: bool,
    /// Its interrupts.
    pub apic: Apic,
    /// MSRs that are the TD's own and that neither the processor nor the module uses, if they were written.
    pub msrs: BTreeMap<u32, u64>,
    /// CPUID raises #VE, in the most privileged level and outside it.
    pub cpuid_ve: CpuidVe,
}

/// Where CPUID raises #VE at the TD's own wish (TDG.VP.CPUIDVE.SET).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CpuidVe {
    /// In the most privileged level.
    pub supervisor: bool,
    /// Outside it.
    pub user: bool,
}

impl Vcpu {
    /// As TDH.VP.INIT leaves it.
    pub fn new(about: About) -> Self {
        Self {
            about,
            cr4: MCE,
            xcr0: INITIAL_XCR0,
            ve: None,
            vmcall: None,
            tdcall_at: None,
            dead: false,
            apic: Apic::default(),
            msrs: BTreeMap::from([(IA32_PAT, PAT)]),
            cpuid_ve: CpuidVe::default(),
        }
    }
}

impl Vcpu {
    /// What belongs to the vCPU and is in no register that the processor switches, as words: what an update must preserve.
    pub fn words(&self) -> Vec<u64> {
        let ve = self.ve.map_or([0; 5], |ve| {
            let instruction = u64::from(ve.length) | u64::from(ve.information) << 32;
            [u64::from(ve.reason) | 1 << 63, ve.qualification, ve.gla, ve.gpa, instruction]
        });
        let flags =
            u64::from(self.dead) | u64::from(self.cpuid_ve.supervisor) << 1 | u64::from(self.cpuid_ve.user) << 2;
        let fixed = [self.cr4, self.xcr0, self.vmcall.map_or(0, |mask| mask | 1 << 63), flags];
        let msrs = self.msrs.iter().flat_map(|(msr, value)| [u64::from(*msr), *value]);
        fixed.into_iter().chain(ve).chain(self.apic.words()).chain(msrs).collect()
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

    #[test]
    fn what_an_update_must_preserve_is_in_the_words() {
        let vcpu = Vcpu::new(About::default());
        let words = vcpu.words();
        assert!(words.len() * 8 <= crate::hidden::KEPT_SIZE / 4);
        let changed: [fn(&mut Vcpu); 6] = [
            |vcpu| vcpu.cr4 |= 1 << 18,
            |vcpu| vcpu.xcr0 = 7,
            |vcpu| vcpu.ve = Some(VeInfo::default()),
            |vcpu| vcpu.cpuid_ve.user = true,
            |vcpu| vcpu.apic.request_one(0x40),
            |vcpu| _ = vcpu.msrs.insert(IA32_PAT, 0),
        ];
        for change in changed {
            let mut other = vcpu.clone();
            change(&mut other);
            assert_ne!(other.words(), words);
        }
    }
}
