//! `TD_PARAMS`: what the VMM wants a TD to be. Source: TDX module `tdx_api_defs.h`, Linux `tdx_arch.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Argument of TDH.MNG.INIT: 1024 bytes, aligned to 1024.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub struct TdParams {
    pub attributes: u64,
    pub xfam: u64,
    pub max_vcpus: u16,
    pub num_l2_vms: u8,
    pub msr_config_ctls: u8,
    pub reserved_0: [u8; 4],
    pub eptp_controls: u64,
    pub config_flags: u64,
    /// In units of 25 MHz.
    pub tsc_frequency: u16,
    pub reserved_1: [u8; 38],
    pub mr_config_id: [u8; 48],
    pub mr_owner: [u8; 48],
    pub mr_owner_config: [u8; 48],
    pub arch_capabilities_config: u64,
    pub reserved_2: [u8; 24],
    /// EAX, EBX, ECX, EDX by configurable leaf; the rest is zero.
    pub cpuid_values: [[u32; 4]; 32],
    pub reserved_3: [u8; 256],
}
const _: () = assert!(size_of::<TdParams>() == 1024);
