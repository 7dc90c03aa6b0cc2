//! Module images: their file form, and a maker of signed ones.
//!
//! A test image has the form of a released one (blob version 0x200): header page, sigstruct page, module pages. The
//! module is an ELF file whose relocations P-SEAMLDR can apply; instead of code it holds a [`Descriptor`] of what the
//! emulated module is to claim about itself.

mod blob;
mod build;
mod descriptor;
pub(crate) mod elf;
pub(crate) mod key;
mod mapping;
mod mutate;
mod spec;
mod spec_file;

pub use crate::abi::CpuidConfig;
pub use blob::{Image, ImageError};
pub use build::build;
pub use descriptor::Descriptor;
pub use mapping::mapping_file;
pub use mutate::Mutation;
pub use spec::ImageSpec;

/// SHA-384 of the test key's modulus, which is always trusted.
pub fn test_key_hash() -> crate::KeyHash {
    crate::KeyHash(key::test_key_hash())
}

/// SHA-384 of the modulus that signed Intel's released modules, for [`crate::Config::trusted_key_hashes`]. Source:
/// P-SEAMLDR `intel_key_hash.h` (`css_production_key_hash`).
pub const INTEL_KEY_HASH: crate::KeyHash = crate::KeyHash([
    0xC8, 0x57, 0x2F, 0x54, 0x88, 0x69, 0xA0, 0xBE, 0xCA, 0x19, 0x37, 0x6B, 0x81, 0xC2, 0xDF, 0xFC, 0x2A, 0x23, 0xB5,
    0xA5, 0xF7, 0x1D, 0xA0, 0xB8, 0x75, 0x79, 0xB4, 0x3F, 0x40, 0x8D, 0xAA, 0x1A, 0x33, 0xBA, 0xD9, 0xC1, 0x49, 0xEB,
    0x56, 0xC6, 0x34, 0xF8, 0x83, 0x73, 0x79, 0x68, 0xA3, 0x4C,
]);
