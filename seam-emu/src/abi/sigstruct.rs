//! `SEAM_SIGSTRUCT`: the manifest and signature of a module. Source: P-SEAMLDR `seam_sigstruct.h`.

use crate::abi::Digest;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, byteorder::little_endian as le};

/// Most rows of the CPUID table.
pub const MAX_CPUIDS: usize = 255;
/// `module_type` bit 31: signed for debug.
pub const MODULE_TYPE_DEBUG: u32 = 1 << 31;

/// The only values that P-SEAMLDR accepts in fields that admit one.
#[expect(missing_docs, reason = "named after the fields")]
pub mod required {
    pub const HEADER_TYPE: u32 = 6;
    pub const HEADER_LENGTH: u32 = 0xE1;
    pub const HEADER_VERSION: u32 = 0x1_0000;
    pub const MODULE_VENDOR: u32 = 0x8086;
    pub const SIZE: u32 = 0x200;
    pub const KEY_SIZE: u32 = 0x60;
    pub const MODULUS_SIZE: u32 = 0x60;
    pub const EXPONENT_SIZE: u32 = 1;
    pub const EXPONENT: u32 = 0x1_0001;
}

/// Manifest and signature of a module: 2048 bytes, little-endian, numbers unaligned. Modulus and signature are
/// little-endian integers. Sizes are in 32-bit words.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "the names are the specification's own")]
pub struct SigStruct {
    pub header_type: le::U32,
    pub header_length: le::U32,
    pub header_version: le::U32,
    pub module_type: le::U32,
    pub module_vendor: le::U32,
    /// BCD, 0xYYYYMMDD.
    pub date: le::U32,
    pub size: le::U32,
    pub key_size: le::U32,
    pub modulus_size: le::U32,
    pub exponent_size: le::U32,
    pub reserved_0: [u8; 88],
    pub modulus: [u8; 384],
    pub exponent: le::U32,
    pub signature: [u8; 384],
    /// SHA-384 over all module pages.
    pub seamhash: Digest,
    pub minor_svn: u8,
    pub major_svn: u8,
    pub attributes: le::U64,
    pub rip_offset: le::U32,
    /// Stack pages per LP, minus 1.
    pub num_stack_pages: u8,
    /// Thread-local pages per LP, minus 1.
    pub num_tls_pages: u8,
    /// Keyhole pages per LP, minus 1.
    pub num_keyhole_pages: le::U16,
    /// Global data pages, minus 1.
    pub num_global_data_pages: le::U16,
    pub max_tdmrs: le::U16,
    pub max_rsvd_per_tdmr: le::U16,
    pub pamt_entry_size_4k: le::U16,
    pub pamt_entry_size_2m: le::U16,
    pub pamt_entry_size_1g: le::U16,
    pub reserved_1: [u8; 6],
    /// Handoff version that the module produces.
    pub module_hv: le::U16,
    /// Lowest handoff version that the module consumes.
    pub min_update_hv: le::U16,
    pub no_downgrade: u8,
    pub reserved_2: u8,
    /// Pages for handoff data, minus 1.
    pub num_handoff_pages: le::U16,
    pub gdt_idt_offset: le::U32,
    pub fault_wrapper_offset: le::U32,
    /// Zero before the 2.0 series. There: update version (2 bytes), minor, major, build number (2 bytes), two more; known from
    /// the released images only (unverified).
    pub module_version: [u8; 8],
    pub reserved_3: [u8; 16],
    /// Rows of the CPUID table.
    pub cpuid_table_size: le::U32,
    pub cpuid_table: [le::U32; MAX_CPUIDS],
}
const _: () = assert!(size_of::<SigStruct>() == 2048);

impl SigStruct {
    /// What is signed: the header and the body, without modulus, exponent and signature.
    pub fn signed_parts(&self) -> [&[u8]; 2] {
        let bytes = self.as_bytes();
        [&bytes[..128], &bytes[900..]]
    }

    /// The CPUID table's rows in use.
    pub fn cpuids(&self) -> impl Iterator<Item = u32> {
        self.cpuid_table.iter().take(self.cpuid_table_size.get() as usize).map(|row| row.get())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::mem::offset_of;

    #[test]
    fn offsets_are_the_specified_ones() {
        assert_eq!(offset_of!(SigStruct, modulus), 128);
        assert_eq!(offset_of!(SigStruct, exponent), 512);
        assert_eq!(offset_of!(SigStruct, signature), 516);
        assert_eq!(offset_of!(SigStruct, seamhash), 900);
        assert_eq!(offset_of!(SigStruct, minor_svn), 948);
        assert_eq!(offset_of!(SigStruct, attributes), 950);
        assert_eq!(offset_of!(SigStruct, module_hv), 984);
        assert_eq!(offset_of!(SigStruct, num_handoff_pages), 990);
        assert_eq!(offset_of!(SigStruct, cpuid_table_size), 1024);
    }
}
