//! The module 1.5.16, whose published source was run.

use super::figures::{CpuidBits, Figures, SUBLEAVES_NONE};
use crate::abi::Leaf;
use crate::abi::field::FieldSet;

/// What was not seen in the run is as in 1.5.06 or 1.5.28, as each figure says.
pub(super) const FIGURES: Figures = Figures {
    version: (1, 5, 16),
    // The released image's sigstruct.
    minor_svn: 11,
    module_hv: 0,
    min_update_hv: 0,
    no_downgrade: false,
    // 357 fields in the run.
    fields: FieldSet::EventFilters,
    // Run.
    features0: 0x22_6F3F_0FBF,
    // ICSSD, as 1.5.06 `td_control_structures.h` has it with bit 25 of the features; run.
    attributes_fixed0: 0x8000_0000_7001_0001,
    // MAXPA_VIRT and MAXGPA_VIRT, with bits 27 and 33 of the features; run.
    config_flags_fixed0: 0x1F,
    max_vcpus: 576,
    num_immutable_state_pages: 4,
    // Run.
    num_vp_state_pages: 9,
    cpuid_config: &CPUID_CONFIG,
    rd_direct_only: false,
    versioned: &VERSIONED,
    op_state_in_status: false,
    // `SEPT_PERMISSIONS_MASK` of `sept_manager.h`: user mode has its own bit; run.
    sept_permissions: 0x407,
    // Read in that version's source.
    vcpu_state_in_status: true,
};

/// Leaves with a version 1: those of 1.5.05, and TDH.SYS.INIT from 1.5.13 on (read in that version's source). That it has
/// no other is unverified.
const VERSIONED: [Leaf; 7] =
    [Leaf::MemPagePromote, Leaf::MemSeptAdd, Leaf::MemSeptRemove, Leaf::MngRd, Leaf::VpRd, Leaf::VpInit, Leaf::SysInit];

/// Source: `cpuid_configurations.c` of 1.5.16, which is that of 1.5.25 byte for byte; run.
const CPUID_CONFIG: [CpuidBits; 28] = [
    CpuidBits::row(0x1, SUBLEAVES_NONE, [0xFFF_3FFF, 0xFF_0000, 0, 0], [0, 0, 0x3104_4D88, 0xB844_5080]),
    CpuidBits::row(0x4, 0, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0x7], [0, 0, 0, 0]),
    CpuidBits::row(0x4, 0x1, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0x7], [0, 0, 0, 0]),
    CpuidBits::row(0x4, 0x2, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0x7], [0, 0, 0, 0]),
    CpuidBits::row(0x4, 0x3, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0x7], [0, 0, 0, 0]),
    CpuidBits::row(0x7, 0, [0, 0, 0, 0], [0, 0xDC2B_9B18, 0x241_7F65, 0x4005_411C]),
    CpuidBits::row(0x7, 0x1, [0, 0, 0, 0], [0x488_1DB0, 0, 0, 0x2_4430]),
    CpuidBits::row(0xA, SUBLEAVES_NONE, [0, 0, 0, 0], [0, 0, 0, 0]),
    CpuidBits::row(0x1C, SUBLEAVES_NONE, [0, 0, 0, 0], [0xFF, 0, 0, 0]),
    CpuidBits::row(0x8000_0008, SUBLEAVES_NONE, [0xFF, 0, 0, 0], [0, 0x200, 0, 0]),
    CpuidBits::row(0x7, 0x2, [0, 0, 0, 0], [0, 0, 0, 0x28]),
    CpuidBits::row(0x23, 0, [0, 0, 0, 0], [0xF, 0, 0, 0]),
    CpuidBits::row(0x1F, 0, [0x1F, 0xFFFF, 0xFFFF, 0], [0, 0, 0, 0]),
    CpuidBits::row(0x1F, 0x1, [0x1F, 0xFFFF, 0xFFFF, 0], [0, 0, 0, 0]),
    CpuidBits::row(0x1F, 0x2, [0x1F, 0xFFFF, 0xFFFF, 0], [0, 0, 0, 0]),
    CpuidBits::row(0x1F, 0x3, [0x1F, 0xFFFF, 0xFFFF, 0], [0, 0, 0, 0]),
    CpuidBits::row(0x1F, 0x4, [0x1F, 0xFFFF, 0xFFFF, 0], [0, 0, 0, 0]),
    CpuidBits::row(0x1F, 0x5, [0x1F, 0xFFFF, 0xFFFF, 0], [0, 0, 0, 0]),
    CpuidBits::row(0x19, SUBLEAVES_NONE, [0, 0, 0, 0], [0, 0, 0, 0]),
    CpuidBits::row(0x18, 0, [0, 0, 0, 0x3FF_C000], [0, 0, 0, 0]),
    CpuidBits::row(0x18, 0x1, [0, 0, 0, 0x3FF_C000], [0, 0, 0, 0]),
    CpuidBits::row(0x18, 0x2, [0, 0, 0, 0x3FF_C000], [0, 0, 0, 0]),
    CpuidBits::row(0x18, 0x3, [0, 0, 0, 0x3FF_C000], [0, 0, 0, 0]),
    CpuidBits::row(0x18, 0x4, [0, 0, 0, 0x3FF_C000], [0, 0, 0, 0]),
    CpuidBits::row(0x18, 0x5, [0, 0, 0, 0x3FF_C000], [0, 0, 0, 0]),
    CpuidBits::row(0x18, 0x6, [0, 0, 0, 0x3FF_C000], [0, 0, 0, 0]),
    CpuidBits::row(0x18, 0x7, [0, 0, 0, 0x3FF_C000], [0, 0, 0, 0]),
    CpuidBits::row(0x18, 0x8, [0, 0, 0, 0x3FF_C000], [0, 0, 0, 0]),
];
