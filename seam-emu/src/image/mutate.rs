//! Images that are wrong in one way, for tests.

use super::build::{assemble, set_checksum};
use super::{Image, key};
use crate::abi::sigstruct::SigStruct;
use serde::{Deserialize, Serialize};

/// One thing wrong with an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mutation {
    /// The header's magic.
    Magic,
    /// A reserved byte of the header.
    HeaderReserved,
    /// The checksum only.
    Checksum,
    /// The last page is missing; the header still tells of it.
    Truncated,
    /// One bit of the signature.
    Signature,
    /// One bit of a signed field, without signing again.
    SignedField,
    /// One bit of the modulus: another key.
    Modulus,
    /// One bit of the last module page: the hash does not fit.
    Hash,
    /// A reserved byte of the sigstruct, signed properly.
    SigstructReserved,
    /// Not an ELF file; hash and signature fit.
    Elf,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Magic,
        Self::HeaderReserved,
        Self::Checksum,
        Self::Truncated,
        Self::Signature,
        Self::SignedField,
        Self::Modulus,
        Self::Hash,
        Self::SigstructReserved,
        Self::Elf,
    ];

    /// The file with this one thing wrong. But for [`Mutation::Checksum`], [`Mutation::Truncated`] and the header's
    /// own bytes, the checksum fits. `file` must be a valid image.
    pub fn apply(self, file: &[u8]) -> Vec<u8> {
        let mut out = file.to_vec();
        match self {
            Self::Magic => {
                let at = if out[4] == b'T' { 4 } else { 8 };
                out[at] ^= 1;
            }
            Self::HeaderReserved => out[4000] = 1,
            Self::Checksum => out[2] ^= 1,
            Self::Truncated => out.truncate(file.len() - 4096),
            Self::Signature => out[4096 + 516] ^= 1,
            Self::SignedField => out[4096 + 20] ^= 1,
            Self::Modulus => out[4096 + 130] ^= 1,
            Self::Hash => *out.last_mut().expect("an image is not empty") ^= 1,
            Self::SigstructReserved => return resigned(file, |sig, _| sig.reserved_3[0] = 1),
            Self::Elf => return resigned(file, |_, module| module[0] = 0),
        }
        if !matches!(self, Self::Checksum | Self::Truncated) {
            set_checksum(&mut out);
        }
        out
    }
}

/// Changes an image and signs it again, with the hash that the changed module has.
pub(crate) fn resigned(file: &[u8], change: impl FnOnce(&mut SigStruct, &mut [u8])) -> Vec<u8> {
    use sha2::{Digest as _, Sha384};
    let mut image = Image::parse(file).expect("only valid images are mutated");
    change(&mut image.sigstruct, &mut image.module);
    image.sigstruct.seamhash = Sha384::digest(&image.module).into();
    key::sign(&mut image.sigstruct);
    assemble(&image.sigstruct, &image.module)
}
