//! The module that scenarios get who name none: much like 1.5.06, with leaves of later ones.

use super::figures::{CpuidBits, Figures, SUBLEAVES_NONE};
use crate::abi::Leaf;
use crate::abi::field::FieldSet;

/// Sources: 1.5.06 (intel/tdx-module, commit 1e636985), but for what is said beside a figure.
pub(super) const FIGURES: Figures = Figures {
    version: (1, 5, 6),
    minor_svn: 5,
    module_hv: 0,
    min_update_hv: 0,
    no_downgrade: false,
    fields: FieldSet::MaxVcpus,
    // Of 1.5.16; scenarios add bits to it.
    features0: 0x22_6F3F_0FBF,
    // Of 1.5.05.
    attributes_fixed0: 0x8000_0000_7000_0001,
    // Of 1.5.05.
    config_flags_fixed0: 0b111,
    max_vcpus: 576,
    num_immutable_state_pages: 4,
    num_vp_state_pages: 5,
    cpuid_config: &CPUID_CONFIG,
    rd_direct_only: false,
    versioned: &VERSIONED,
    op_state_in_status: false,
    sept_permissions: 0b111,
    vcpu_state_in_status: false,
};

/// Leaves with a version 1: those of 1.5.06, and TDH.SYS.UPDATE of 1.5.25.
const VERSIONED: [Leaf; 7] = [
    Leaf::MemPagePromote,
    Leaf::MemSeptAdd,
    Leaf::MemSeptRemove,
    Leaf::MngRd,
    Leaf::VpRd,
    Leaf::VpInit,
    Leaf::SysUpdate,
];

/// Source: 1.5.01 `cpuid_configurations.c`, direct and allowed bits together, without leaf 0xA, which has none; 0x80000008
/// EAX from newer modules, whose guest physical address width KVM configures.
const CPUID_CONFIG: [CpuidBits; 11] = [
    row(0x1, SUBLEAVES_NONE, [0x0FFF_3FFF, 0x00FF_0000, 0x3104_4D88, 0xB844_0000]),
    row(0x4, 0, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0xFFFF_FFFB]),
    row(0x4, 1, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0xFFFF_FFFB]),
    row(0x4, 2, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0xFFFF_FFFB]),
    row(0x4, 3, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0x7]),
    row(0x7, 0, [0, 0xDC2B_9B18, 0x0241_7F65, 0x0005_411C]),
    row(0x7, 1, [0x1D30, 0, 0, 0]),
    row(0x7, 2, [0, 0, 0, 0x28]),
    row(0x1C, SUBLEAVES_NONE, [0xFF, 0, 0, 0]),
    row(0x23, 0, [0xF, 0, 0, 0]),
    row(0x8000_0008, SUBLEAVES_NONE, [0x00FF_0000, 0x200, 0, 0]),
];

const fn row(leaf: u32, subleaf: u32, bits: [u32; 4]) -> CpuidBits {
    CpuidBits::row(leaf, subleaf, bits, [0; 4])
}
