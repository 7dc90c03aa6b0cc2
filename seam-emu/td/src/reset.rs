//! A vCPU of a TD before its first instruction: 32-bit protected mode with flat segments, paging off, at 0xFFFFFFF0. Sources:
//! TDX module `tdh_vp_init.c` for general-purpose registers, XCR0 and DR6; OVMF's reset vector for the mode. The other registers'
//! values (EFER, PAT, descriptor tables) are unverified.

use crate::apic::V_INTR_MASKING;
use crate::td::gpr;
use crate::vcpu::{PAT, Vcpu, real_cr4};
use crate::vmcb::{self, Segment, SegmentName as S, Vmcb, intercept};

/// CR0: PE, ET, NE.
const CR0: u64 = 0x21;
/// EFER: SVME, without which VMRUN fails (APM 15.5.1), NXE and LME, as the TDX module has them on.
const EFER: u64 = 1 << 12 | 1 << 11 | 1 << 8;
/// Exceptions that exit: #UD, for TDCALL, and #MC.
const EXCEPTIONS: u32 = 1 << 6 | 1 << 18;
/// What exits besides exceptions.
const INSTRUCTIONS: u64 = intercept::INTR
    | intercept::NMI
    | intercept::SMI
    | intercept::INIT
    | intercept::RDPMC
    | intercept::CPUID
    | intercept::INVD
    | intercept::HLT
    | intercept::INVLPGA
    | intercept::IOIO
    | intercept::MSR
    | intercept::SHUTDOWN
    | intercept::VMRUN
    | intercept::VMMCALL
    | intercept::VMLOAD
    | intercept::VMSAVE
    | intercept::STGI
    | intercept::CLGI
    | intercept::SKINIT
    | intercept::WBINVD
    | intercept::MONITOR
    | intercept::MWAIT
    | intercept::XSETBV;

/// Physical addresses that a VMCB names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Maps {
    /// I/O permission map.
    pub iopm: u64,
    /// MSR permission map.
    pub msrpm: u64,
    /// Root of the nested page tables.
    pub nested_cr3: u64,
}

/// Fills a VMCB, general-purpose registers (by their numbers in an encoding) and an XSAVE area for the vCPU's first entry.
/// `initial_rcx` is what the VMM gave to TDH.VP.INIT.
pub fn reset(vmcb: &mut Vmcb<'_>, gprs: &mut [u64; 16], vcpu: &Vcpu, maps: Maps, initial_rcx: u64) {
    vmcb.clear();
    vmcb.set(vmcb::EXCEPTION_INTERCEPTS, EXCEPTIONS);
    vmcb.set(vmcb::INSTRUCTION_INTERCEPTS, INSTRUCTIONS);
    vmcb.set(vmcb::IOPM, maps.iopm);
    vmcb.set(vmcb::MSRPM, maps.msrpm);
    vmcb.set(vmcb::NESTED_CR3, maps.nested_cr3);
    vmcb.set(vmcb::NESTED_PAGING, 1);
    vmcb.set(vmcb::ASID, 1);
    vmcb.set(vmcb::VIRTUAL_INTERRUPT, V_INTR_MASKING);
    segments(vmcb);
    vmcb.set(vmcb::EFER, EFER);
    vmcb.set(vmcb::CR0, CR0);
    vmcb.set(vmcb::CR4, real_cr4(vcpu.cr4));
    vmcb.set(vmcb::DR6, 0xFFFF_0FF0);
    vmcb.set(vmcb::DR7, 0x400);
    vmcb.set(vmcb::PAT, PAT);
    vmcb.set(vmcb::RFLAGS, 2);
    vmcb.set(vmcb::RIP, 0xFFFF_FFF0);
    *gprs = [0; 16];
    let about = vcpu.about;
    (gprs[gpr::RCX], gprs[gpr::R8]) = (initial_rcx, initial_rcx);
    gprs[gpr::RBX] = u64::from(about.gpaw);
    gprs[gpr::RDX] = u64::from(about.cpuid_1_eax);
    gprs[gpr::RSI] = u64::from(about.index);
}

fn segments(vmcb: &mut Vmcb<'_>) {
    let flat = |selector, attributes| Segment { selector, attributes, limit: u32::MAX, base: 0 };
    vmcb.set_segment(S::Cs, flat(8, 0xC9B));
    for name in [S::Es, S::Ss, S::Ds, S::Fs, S::Gs] {
        vmcb.set_segment(name, flat(0x10, 0xC93));
    }
    let table = |attributes| Segment { selector: 0, attributes, limit: 0xFFFF, base: 0 };
    for (name, attributes) in [(S::Gdtr, 0), (S::Idtr, 0), (S::Ldtr, 0x82), (S::Tr, 0x8B)] {
        vmcb.set_segment(name, table(attributes));
    }
}

/// An XSAVE area with everything in its initial state: x87's control word and MXCSR, which XRSTOR loads from here (SDM volume 1,
/// 13.8).
pub fn xsave(area: &mut [u8]) {
    area.fill(0);
    area[..2].copy_from_slice(&0x37Fu16.to_le_bytes());
    area[24..28].copy_from_slice(&0x1F80u32.to_le_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vcpu::About;

    #[test]
    fn a_vcpu_begins_in_protected_mode_below_four_gigabytes() {
        let about = About { gpaw: 48, index: 3, cpuid_1_eax: 0x806F8, ..About::default() };
        let (mut page, mut gprs) = ([0xFF; vmcb::SIZE], [7; 16]);
        let mut vmcb = Vmcb::new(&mut page);
        let maps = Maps { iopm: 0x1000, msrpm: 0x4000, nested_cr3: 0x6000 };
        reset(&mut vmcb, &mut gprs, &Vcpu::new(about), maps, 0xABCD);
        assert_eq!(vmcb.get(vmcb::RIP), 0xFFFF_FFF0);
        assert_eq!(vmcb.get(vmcb::CR0) & (1 << 31 | 1), 1, "protected, no paging");
        assert!(!vmcb.is_in_64_bit_mode());
        assert_eq!(gprs, [0, 0xABCD, 0x806F8, 48, 0, 0, 3, 0, 0xABCD, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!((vmcb.get(vmcb::IOPM), vmcb.get(vmcb::MSRPM), vmcb.get(vmcb::NESTED_CR3)), (0x1000, 0x4000, 0x6000));
    }

    /// APM 15.5.1: what VMRUN refuses.
    #[test]
    fn the_block_is_one_that_vmrun_takes() {
        let (mut page, mut gprs) = ([0; vmcb::SIZE], [0; 16]);
        let mut vmcb = Vmcb::new(&mut page);
        let maps = Maps { iopm: 0, msrpm: 0, nested_cr3: 0 };
        reset(&mut vmcb, &mut gprs, &Vcpu::new(About::default()), maps, 0);
        assert_ne!(vmcb.get(vmcb::EFER) & 1 << 12, 0, "SVME");
        assert_ne!(vmcb.get(vmcb::ASID), 0);
        assert_ne!(vmcb.get(vmcb::INSTRUCTION_INTERCEPTS) & intercept::VMRUN, 0);
        assert_eq!(vmcb.get(vmcb::CR0) >> 29 & 0b11, 0, "no NW without CD");
        assert_eq!(vmcb.get(vmcb::DR6) >> 32 | vmcb.get(vmcb::DR7) >> 32, 0);
        assert_ne!(vmcb.get(vmcb::CR4) & 1 << 5, 0, "PAE, see real_cr4");
    }

    #[test]
    fn floating_point_begins_as_after_reset() {
        let mut area = [0xFF; 4096];
        xsave(&mut area);
        assert_eq!((area[0], area[1], area[24], area[25], area[512]), (0x7F, 0x03, 0x80, 0x1F, 0));
    }
}
