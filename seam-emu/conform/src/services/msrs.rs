//! Model-specific registers with which modules of the 1.5 series start.
//!
//! Source of what they demand: TDX module 1.5.05 `tdh_sys_init.c`, `tdh_sys_lp_init.c`, `virt_msr_helpers.h`, `msr_defs.h`.

use crate::platform::{ADDRESS_BITS, KEYID_BITS, MKTME_KEYIDS, SEAM_RANGE, TDX_KEYIDS};
use std::collections::{BTreeMap, BTreeSet};

/// WBINVDP and WBNOINVDP: reads give the number of blocks of the caches, writes name one.
const WRITE_BACK: [u32; 2] = [0x98, 0x99];
/// All bits of a VMX capability MSR may be 1, and none must be.
const ANY_SETTING: u64 = 0xFFFF_FFFF_0000_0000;

/// Indices and values after reset and boot.
fn initial() -> [(u32, u64); 37] {
    let bits = |set: &[u32]| set.iter().fold(0u64, |value, bit| value | 1 << bit);
    let keyid_bits = u64::from(KEYID_BITS);
    let seam_mask = ((1u64 << ADDRESS_BITS) - 1) & !(SEAM_RANGE.size - 1);
    [
        // IA32_ARCH_CAPABILITIES
        (0x10A, bits(&[0, 1, 3, 5, 6, 8, 10, 11, 12, 13, 14, 15, 21])),
        // IA32_CORE_CAPABILITIES, IA32_XAPIC_DISABLE_STATUS, IA32_MISC_PACKAGE_CTLS
        (0xCF, 0),
        (0xBD, 1),
        (0xBC, 1),
        // IA32_PERF_CAPABILITIES, IA32_TSC_ADJUST, IA32_MISC_ENABLE
        (0x345, bits(&[12, 13, 14])),
        (0x3B, 0),
        (0x1A0, bits(&[0, 7])),
        // IA32_VMX_BASIC: 4 KB, write-back, INS/OUTS information, true controls
        (0x480, 0x11 | 0x1000 << 32 | 6 << 50 | bits(&[54, 55, 60])),
        // Controls of VMX
        (0x48D, ANY_SETTING),
        (0x48E, ANY_SETTING),
        (0x48B, ANY_SETTING),
        (0x48F, ANY_SETTING),
        (0x490, ANY_SETTING),
        (0x492, u64::MAX),
        // IA32_VMX_MISC: 4 targets of CR3
        (0x485, bits(&[5, 6, 7, 8, 14, 29, 30]) | 4 << 16 | 5),
        (0x48C, u64::MAX),
        // Fixed bits of CR0 and CR4
        (0x486, 0x8000_0021),
        (0x487, 0xFFFF_FFFF),
        (0x488, 0x2000),
        (0x489, 0xFFFF_FFFF),
        // IA32_TME_CAPABILITY, IA32_TME_ACTIVATE, IA32_MKTME_KEYID_PARTITIONING
        (0x981, 0xF | keyid_bits << 32 | 63 << 36 | 1 << 31),
        (0x982, 3 | keyid_bits << 32 | 5 << 36 | 0xF << 48),
        (0x87, u64::from(MKTME_KEYIDS) | u64::from(TDX_KEYIDS) << 32),
        // WBINVDP, WBNOINVDP: 4 blocks of a package's caches
        (0x98, 4),
        (0x99, 4),
        // Pending interrupts
        (0x9A, 0),
        // IA32_MTRRCAP; SMRR, locked, without a CMR
        (0xFE, 8 | bits(&[11, 14, 15])),
        (0x1F2, 0xA000_0000 | 6),
        (0x1F3, 0xFF00_0000 | bits(&[10, 11])),
        // IA32_SEAMRR_PHYS_BASE and MASK
        (0x1400, SEAM_RANGE.base | 8),
        (0x1401, seam_mask | bits(&[10, 11])),
        // IA32_APIC_BASE: x2APIC
        (0x1B, 0xFEE0_0C00),
        // IA32_SPEC_CTRL, IA32_DEBUGCTL, IA32_XSS
        (0x48, 0),
        (0x1D9, 0),
        (0xDA0, 0),
        // IA32_EFER, IA32_TSX_CTRL
        (0xC000_0080, 0xD01),
        (0x122, 0),
    ]
}

/// Model-specific registers, one set for all LPs.
#[derive(Clone, Debug)]
pub struct Msrs {
    values: BTreeMap<u32, u64>,
    /// Registers that were read or written although the platform does not know them.
    unknown: BTreeSet<u32>,
}

impl Default for Msrs {
    fn default() -> Self {
        Self { values: initial().into(), unknown: BTreeSet::new() }
    }
}

impl Msrs {
    /// A register's value; 0 if the platform does not know it.
    pub fn read(&mut self, index: u32) -> u64 {
        self.values.get(&index).copied().unwrap_or_else(|| {
            self.unknown.insert(index);
            0
        })
    }

    /// Sets a register. Writes that ask for a part of the caches to be written back do so without a trace.
    pub fn write(&mut self, index: u32, value: u64) {
        if WRITE_BACK.contains(&index) {
            return;
        }
        if self.values.insert(index, value).is_none() {
            self.unknown.insert(index);
        }
    }

    /// Registers that the module used although the platform does not know them.
    pub fn unknown(&self) -> &BTreeSet<u32> {
        &self.unknown
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seam_range_and_keyids_are_those_of_the_platform() {
        let mut msrs = Msrs::default();
        assert_eq!(msrs.read(0x1400), 0x8000_0008);
        assert_eq!(msrs.read(0x1401), 0x000F_FFFF_F800_0C00);
        assert_eq!(msrs.read(0x87), 31 | 32 << 32);
        assert_eq!(msrs.read(0x982) >> 32 & 0xF, 6);
    }

    #[test]
    fn unknown_registers_are_told_apart() {
        let mut msrs = Msrs::default();
        msrs.write(0x48, 1);
        msrs.write(0x98, 2);
        assert_eq!(msrs.read(0x98), 4, "the number of blocks");
        assert_eq!((msrs.read(0x48), msrs.read(0x10A) & 1), (1, 1));
        assert!(msrs.unknown().is_empty());
        msrs.write(0x777, 5);
        assert_eq!((msrs.read(0x777), msrs.read(0x778)), (5, 0));
        assert_eq!(msrs.unknown().iter().copied().collect::<Vec<_>>(), [0x777, 0x778]);
    }
}
