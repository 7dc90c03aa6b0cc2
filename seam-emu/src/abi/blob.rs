//! The file form of a module: header page, sigstruct page, module pages. Source: Linux `seamldr.c`
//! (`struct tdx_image_header`) and the released images.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout, byteorder::little_endian as le};

/// The version of the file form that Linux takes.
pub const VERSION: u16 = 0x200;
/// The version in which images were released so far. Source: `blob_structure.txt` beside them.
pub const VERSION_1: u16 = 0x100;
/// The header's magic.
pub const SIGNATURE: [u8; 8] = *b"TDX-BLOB";

/// First page of the file.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct BlobHeader {
    /// [`VERSION`].
    pub version: le::U16,
    /// Makes the sum of the file's 16-bit words 0. The kernel does not check it.
    pub checksum: le::U16,
    /// [`SIGNATURE`].
    pub signature: [u8; 8],
    /// At most 1.
    pub sigstruct_pages: le::U32,
    /// At most [`crate::abi::seamldr::MAX_MODULE_PAGES`].
    pub module_pages: le::U32,
    /// Zero.
    pub reserved: [u8; 4076],
}
const _: () = assert!(size_of::<BlobHeader>() == 4096);

/// First page of a file of [`VERSION_1`]. The sigstruct follows it, the module begins at `module_offset`.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable)]
#[repr(C)]
pub struct BlobHeader1 {
    /// [`VERSION_1`].
    pub version: le::U16,
    /// As in [`BlobHeader`].
    pub checksum: le::U16,
    /// Bytes from the file's start to the module: 8192 and more, a multiple of 4096.
    pub module_offset: le::U32,
    /// [`SIGNATURE`].
    pub signature: [u8; 8],
    /// Bytes of the whole file.
    pub length: le::U32,
    /// Zero.
    pub reserved: [u8; 4076],
}
const _: () = assert!(size_of::<BlobHeader1>() == 4096);

/// Sum of the 16-bit little-endian words, modulo 2^16; 0 for a whole file.
pub fn checksum16(bytes: &[u8]) -> u16 {
    bytes
        .chunks(2)
        .fold(0, |sum: u16, word| sum.wrapping_add(u16::from_le_bytes([word[0], word.get(1).copied().unwrap_or(0)])))
}
