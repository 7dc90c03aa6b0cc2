//! `TDMR_INFO`: a region of memory that the module may use, as the VMM describes it. Source: TDX module
//! `tdx_api_defs.h`, Linux `tdx.h`.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Most TDMRs.
pub const MAX_TDMRS: u64 = 64;
/// Reserved areas of each TDMR.
pub const MAX_RESERVED_AREAS: usize = 16;
/// Alignment of the array of addresses and of each entry, in bytes.
pub const ALIGNMENT: u64 = 512;
/// Granularity of TDMRs, in bytes.
pub const GRANULE: u64 = 1 << 30;
/// Bytes of a PAMT entry, at each page size.
pub const PAMT_ENTRY_SIZE: u64 = 16;

/// A TDMR as the VMM describes it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub struct TdmrInfo {
    pub base: u64,
    pub size: u64,
    pub pamt_1g_base: u64,
    pub pamt_1g_size: u64,
    pub pamt_2m_base: u64,
    pub pamt_2m_size: u64,
    pub pamt_4k_base: u64,
    pub pamt_4k_size: u64,
    pub reserved: [ReservedArea; MAX_RESERVED_AREAS],
}
const _: () = assert!(size_of::<TdmrInfo>() == 320);

/// A part of a TDMR that the module may not use. Null entries, of size 0, come last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct ReservedArea {
    /// Bytes from the TDMR's base.
    pub offset: u64,
    /// Bytes.
    pub size: u64,
}
