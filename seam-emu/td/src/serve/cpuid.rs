//! CPUID in a TD: the firmware has the module's table, from which come values that depend on the vCPU. Source: TDX module
//! `td_cpuid.c`.
//!
//! What TCG does not execute is not promised: a TD that believed in it would get a #UD where hardware goes on. So a few bits are
//! 0 here that TDH.MNG.RD tells the VMM of ([`EXECUTED`]; source: QEMU 11.1 `target/i386/cpu.c`, `TCG_*_FEATURES`).

use super::xcr0;
use crate::td::{Next, Td, gpr};
use crate::ve::{VeInfo, reason};
use crate::vmcb;

/// EAX, EBX, ECX, EDX.
pub type Values = [u32; 4];
/// All bits of a register, and none.
const ALL: u32 = u32::MAX;
const NONE: u32 = 0;
/// Bytes of the instruction.
const LENGTH: u64 = 2;

/// Leaf, subleaf and the bits that can be promised, where these are not all; a row without a subleaf is for all.
const EXECUTED: &[(u32, Option<u32>, Values)] = &[
    // Not DTES64, DS-CPL, VMX, SMX, EST, TM2, CNXT-ID, SDBG, xTPR, PDCM, PCID, DCA; nor DS, ACPI, TM, PBE.
    (0x1, None, [ALL, ALL, !0x0006_CDF4, !0xA060_0000]),
    // FSGSBASE, BMI1, AVX2, SMEP, BMI2, ERMS, RDSEED, ADX, SMAP, CLFLUSHOPT, CLWB, SHA; UMIP, PKU, OSPKE, VAES, VPCLMULQDQ, LA57,
    // RDPID; FSRM, and what MSRs of the TD's own are enough for: SPEC_CTRL, STIBP, L1D_FLUSH, ARCH_CAPABILITIES, SSBD.
    (0x7, Some(0), [NONE, 0x219C_03A9, 0x0041_061C, 0xBC00_0010]),
    // Short strings: FZRM, FSRS, FSRC.
    (0x7, Some(1), [0x1C00, NONE, NONE, NONE]),
    (0x7, Some(2), [NONE; 4]),
    // XSAVEOPT and XGETBV with ECX = 1; not XSAVEC, XSAVES, XFD.
    (0xD, Some(1), [0b101, ALL, NONE, NONE]),
    // Processor trace, LBR, AMX, AVX10.
    (0x14, None, [NONE; 4]),
    (0x1C, None, [NONE; 4]),
    (0x1D, None, [NONE; 4]),
    (0x1E, None, [NONE; 4]),
    (0x24, None, [NONE; 4]),
];

/// CPUID exits: whether the TD wants a #VE, or the firmware is asked ([`finish`]).
pub(super) fn serve(td: &mut Td<'_>) -> Next {
    let wish = td.vcpu.cpuid_ve;
    if if td.vmcb.get(vmcb::CPL) == 0 { wish.supervisor } else { wish.user } {
        return ve(td);
    }
    Next::Cpuid { leaf: td.vmcb.get(vmcb::RAX) as u32, subleaf: td.gprs[gpr::RCX] as u32 }
}

/// The firmware has answered; none: it has no such row.
pub fn finish(td: &mut Td<'_>, (leaf, subleaf): (u32, u32), answer: Option<Values>) -> Next {
    let Some(mut values) = answer else { return ve(td) };
    for (row, only, bits) in EXECUTED {
        if *row == leaf && only.is_none_or(|only| only == subleaf) {
            values.iter_mut().zip(bits).for_each(|(value, bits)| *value &= bits);
        }
    }
    adjust(td, leaf, subleaf, &mut values);
    let [eax, ebx, ecx, edx] = values.map(u64::from);
    td.vmcb.set(vmcb::RAX, eax);
    (td.gprs[gpr::RBX], td.gprs[gpr::RCX], td.gprs[gpr::RDX]) = (ebx, ecx, edx);
    td.advance(LENGTH);
    Next::Resume
}

fn ve(td: &mut Td<'_>) -> Next {
    td.ve(VeInfo::of(reason::CPUID, LENGTH as u32))
}

/// What depends on the vCPU's number and on its control registers.
fn adjust(td: &Td<'_>, leaf: u32, subleaf: u32, values: &mut Values) {
    const CR4_OSXSAVE: u64 = 1 << 18;
    const CR4_PKE: u64 = 1 << 22;
    let bit = |number: u32, is_set: bool| u32::from(is_set) << number;
    let [eax, ebx, ecx, edx] = values;
    match (leaf, subleaf) {
        (0x1, _) => {
            *ebx = *ebx & 0x00FF_FFFF | td.vcpu.about.index << 24;
            *ecx = *ecx & !(1 << 27) | bit(27, td.vcpu.cr4 & CR4_OSXSAVE != 0);
        }
        (0x7, 0) => *ecx = *ecx & !(1 << 4) | bit(4, td.vcpu.cr4 & CR4_PKE != 0),
        // The stub switches no more state than this; its sizes are those of all processors.
        (0xD, 0) => {
            *eax &= xcr0::SWITCHED as u32;
            (*ebx, *ecx) = (xcr0::area(td.vcpu.xcr0), xcr0::area(u64::from(*eax)));
        }
        (0xD, 1) => *ebx = xcr0::area(td.vcpu.xcr0),
        (0xD, 2..) if xcr0::SWITCHED >> subleaf.min(63) & 1 == 0 => *values = [0; 4],
        (0x8000_0001, _) => *edx = *edx & !(1 << 11) | bit(11, td.vmcb.is_in_64_bit_mode()),
        _ => {}
    }
}
