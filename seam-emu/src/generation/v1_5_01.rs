//! The module 1.5.01.

use super::figures::{CpuidBits, Figures, SUBLEAVES_NONE};
use crate::abi::Leaf;
use crate::abi::field::FieldSet;

/// Sources: `td_control_structures.h`, `metadata_sys.c`, `migration.h`, `proj_defs.mk`, `tdx_vmm_dispatcher.c`.
pub(super) const FIGURES: Figures = Figures {
    version: (1, 5, 1),
    // The released image's sigstruct.
    minor_svn: 4,
    module_hv: 0,
    min_update_hv: 0,
    no_downgrade: false,
    fields: FieldSet::Original,
    // `md_sys_get_first_element_val_and_ptr`; bit 8 because SEAMOPS here has SEAMVERIFYREPORT.
    features0: 0xF_0FBF,
    attributes_fixed0: 0x8000_0000_7000_0001,
    config_flags_fixed0: 0b111,
    // `tdh_mng_init.c` takes any number but 0.
    max_vcpus: u16::MAX,
    num_immutable_state_pages: 3,
    num_vp_state_pages: 5,
    cpuid_config: &CPUID_CONFIG,
    // `metadata_sys.c` has `config_direct`, `tdh_sys_info.c` adds `allow_direct`.
    rd_direct_only: true,
    versioned: &VERSIONED,
    op_state_in_status: false,
    sept_permissions: 0b111,
    vcpu_state_in_status: false,
};

/// Leaves with a version 1.
const VERSIONED: [Leaf; 5] = [Leaf::MemPagePromote, Leaf::MemSeptAdd, Leaf::MemSeptRemove, Leaf::MngRd, Leaf::VpRd];

/// Source: `cpuid_configurations.c`.
const CPUID_CONFIG: [CpuidBits; 12] = [
    CpuidBits::row(0x1, SUBLEAVES_NONE, [0xFFF_3FFF, 0xFF_0000, 0, 0], [0, 0, 0x3104_4D88, 0xB844_0000]),
    CpuidBits::row(0x4, 0, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0xFFFF_FFFB], [0, 0, 0, 0]),
    CpuidBits::row(0x4, 0x1, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0xFFFF_FFFB], [0, 0, 0, 0]),
    CpuidBits::row(0x4, 0x2, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0xFFFF_FFFB], [0, 0, 0, 0]),
    CpuidBits::row(0x4, 0x3, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0x7], [0, 0, 0, 0]),
    CpuidBits::row(0x7, 0, [0, 0, 0, 0], [0, 0xDC2B_9B18, 0x241_7F65, 0x5_411C]),
    CpuidBits::row(0x7, 0x1, [0, 0, 0, 0], [0x1D30, 0, 0, 0]),
    CpuidBits::row(0xA, SUBLEAVES_NONE, [0, 0, 0, 0], [0, 0, 0, 0]),
    CpuidBits::row(0x1C, SUBLEAVES_NONE, [0, 0, 0, 0], [0xFF, 0, 0, 0]),
    CpuidBits::row(0x8000_0008, SUBLEAVES_NONE, [0, 0, 0, 0], [0, 0x200, 0, 0]),
    CpuidBits::row(0x7, 0x2, [0, 0, 0, 0], [0, 0, 0, 0x28]),
    CpuidBits::row(0x23, 0, [0, 0, 0, 0], [0xF, 0, 0, 0]),
];
