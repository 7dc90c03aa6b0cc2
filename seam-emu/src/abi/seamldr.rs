//! Layouts of P-SEAMLDR. Source: P-SEAMLDR `pseamldr_api_defs.h` and `pseamldr_data_types.h`.

use crate::abi::Digest;
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most module pages that INSTALL takes.
pub const MAX_MODULE_PAGES: usize = 496;
/// `SEAMLDR_PARAMS.scenario`: install the first module, or another one without keeping TDs.
pub const SCENARIO_LOAD: u32 = 0;
/// `SEAMLDR_PARAMS.scenario`: replace the module and keep TDs.
pub const SCENARIO_UPDATE: u32 = 1;
/// Bytes of P-SEAMLDR's system information that SEAMINFO copies out.
pub const SEAMINFO_SIZE: u64 = 2048;
/// `SEAMLDR_INFO.features0` bit 1: the CLEANUP leaf exists.
pub const FEATURE_CLEANUP: u64 = 1 << 1;
/// `SEAMLDR_INFO.attributes` bit 31: debug build.
pub const ATTRIBUTE_DEBUG: u32 = 1 << 31;

/// Argument of INSTALL: `SEAMLDR_PARAMS`, one page, 4096-byte aligned.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct InstallParams {
    /// Must be 0.
    pub version: u32,
    /// [`SCENARIO_LOAD`] or [`SCENARIO_UPDATE`].
    pub scenario: u32,
    /// Physical address of the sigstruct, page-aligned.
    pub sigstruct_pa: u64,
    /// Must be 0.
    pub reserved: [u8; 104],
    /// 1 to [`MAX_MODULE_PAGES`].
    pub num_module_pages: u64,
    /// Physical addresses of the module's pages, page-aligned.
    pub module_pages_pa: [u64; MAX_MODULE_PAGES],
}
const _: () = assert!(size_of::<InstallParams>() == 4096);

/// SEAMEXTEND: what the processor records about the module. Part of `SEAMLDR_INFO`.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Serialize, Deserialize)]
#[repr(C)]
pub struct SeamExtend {
    /// 0x1FF once a module was installed.
    pub valid: u64,
    /// Minor SVN of the module.
    pub minor_svn: u8,
    /// Major SVN of the module.
    pub major_svn: u8,
    /// SVN of the last SE patch; not modelled, 0.
    pub last_patch_se_svn: u8,
    /// Zero.
    pub reserved_svn: [u8; 13],
    /// SHA-384 of the module.
    #[serde(with = "hex::serde")]
    pub mrseam: Digest,
    /// Zero: signed by Intel (here: by a trusted key).
    #[serde(with = "hex::serde")]
    pub mrsigner: Digest,
    /// Zero.
    pub attributes: u64,
    /// 1: SEAMCALLs reach the module.
    pub seam_ready: u8,
    /// 1: the system is under debug.
    pub system_under_debug: u8,
    /// 1: SEAMCALLs reach P-SEAMLDR.
    pub p_seamldr_ready: u8,
    /// Zero.
    pub reserved: [u8; 5],
}
const _: () = assert!(size_of::<SeamExtend>() == 136);

impl SeamExtend {
    /// All zeros: neither a module nor P-SEAMLDR can be called.
    pub const ZERO: Self = Self {
        valid: 0,
        minor_svn: 0,
        major_svn: 0,
        last_patch_se_svn: 0,
        reserved_svn: [0; 13],
        mrseam: [0; 48],
        mrsigner: [0; 48],
        attributes: 0,
        seam_ready: 0,
        system_under_debug: 0,
        p_seamldr_ready: 0,
        reserved: [0; 5],
    };
}

/// Output of INFO: `SEAMLDR_INFO`, 256 bytes.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub struct SeamLdrInfo {
    pub version: u32,
    pub attributes: u32,
    pub vendor_id: u32,
    /// BCD, 0xYYYYMMDD.
    pub build_date: u32,
    pub build_num: u16,
    pub minor: u16,
    pub major: u16,
    /// `update_version` in Linux, reserved in P-SEAMLDR's source.
    pub update: u16,
    pub acm_x2apicid: u32,
    pub num_remaining_updates: u32,
    pub seamextend: SeamExtend,
    pub features0: u64,
    pub reserved: [u8; 80],
}
const _: () = assert!(size_of::<SeamLdrInfo>() == 256);

/// Low half of `P_SYS_INFO_TABLE`, as MCHECK fills it; output of SEAMINFO.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub struct SysInfoTable {
    pub version: u64,
    pub tot_num_lps: u32,
    pub tot_num_sockets: u32,
    /// CPUID leaf 1 EAX by socket.
    pub socket_cpuid_table: [u32; MAX_PACKAGES],
    pub p_seamldr_range_base: u64,
    pub p_seamldr_range_size: u64,
    pub skip_smrr2_check: u8,
    pub tdx_ac: u8,
    pub reserved_0: [u8; 62],
    /// Convertible memory; a size of 0 is a null entry.
    pub cmrs: [Cmr; MAX_CMRS],
    pub reserved_1: [u8; 1408],
}
const _: () = assert!(size_of::<SysInfoTable>() == SEAMINFO_SIZE as usize);

/// Most packages of a platform.
pub const MAX_PACKAGES: usize = 8;
/// Most convertible memory ranges.
pub const MAX_CMRS: usize = 32;

/// A convertible memory range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "obvious")]
pub struct Cmr {
    pub base: u64,
    pub size: u64,
}
