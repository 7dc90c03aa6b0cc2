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

pub use blob::{Image, ImageError};
pub use build::build;
pub use descriptor::{CpuidConfig, Descriptor};
pub use mapping::mapping_file;
pub use mutate::Mutation;
pub use spec::ImageSpec;

/// SHA-384 of the test key's modulus, which is always trusted.
pub fn test_key_hash() -> crate::KeyHash {
    crate::KeyHash(key::test_key_hash())
}
