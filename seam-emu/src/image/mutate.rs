//! Images that are wrong in one way, for tests.

use super::build::{assemble, set_checksum};
use super::{Image, key};
use crate::abi::PAGE_SIZE;
use crate::abi::seamldr::MAX_MODULE_PAGES;
use crate::abi::sigstruct::SigStruct;
use serde::{Deserialize, Serialize};

/// Bytes per page.
const PAGE: usize = PAGE_SIZE as usize;
/// So many pages have 2^32 bytes.
const WRAP: u32 = 1 << 20;

/// One thing wrong with an image. Counts of pages are those of the header; where it says "sizes fit" the file's size is what
/// the header tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Mutation {
    /// The header's magic.
    Magic,
    /// The header's version: one that nobody defined.
    Version,
    /// A reserved byte of the header.
    HeaderReserved,
    /// The checksum only.
    Checksum,
    /// The last page is missing; the header still tells of it.
    Truncated,
    /// A page of zeros follows that the header does not tell of.
    Padded,
    /// 0 sigstruct pages, but the page is there.
    SigstructPagesZero,
    /// 2 sigstruct pages and one module page less; sizes fit.
    SigstructPagesTwo,
    /// 2^20 sigstruct pages too many: in 32 bits their bytes are those of the pages that are there.
    SigstructPagesWrap,
    /// 0 sigstruct pages and none there; sizes fit.
    NoSigstruct,
    /// One module page more than there are.
    ModulePagesOneMore,
    /// 497 module pages, one more than can be; sizes fit.
    ModulePagesTooMany,
    /// 2^20 - 1 module pages: all that 32 bits can count in bytes.
    ModulePagesHuge,
    /// 2^20 module pages too many: in 32 bits their bytes are those of the pages that are there.
    ModulePagesWrap,
    /// 0 module pages and none there; sizes fit.
    NoModule,
    /// A header and nothing else: 0 pages of either kind; sizes fit.
    BareHeader,
    /// One bit of the signature.
    Signature,
    /// One bit of a signed field, without signing again.
    SignedField,
    /// One bit of the modulus: another key.
    Modulus,
    /// One bit of the last module page: the hash does not fit.
    Hash,
    /// The sigstruct's reserved byte at 40, the first of 88, signed properly.
    #[serde(rename = "sigstruct-reserved-40")]
    SigstructReserved40,
    /// The sigstruct's reserved byte at 978, the first of 6, signed properly.
    #[serde(rename = "sigstruct-reserved-978")]
    SigstructReserved978,
    /// The sigstruct's reserved byte at 989, signed properly.
    #[serde(rename = "sigstruct-reserved-989")]
    SigstructReserved989,
    /// The sigstruct's reserved byte at 1008, the first of 16, signed properly.
    SigstructReserved,
    /// The sigstruct's `attributes`, of which none is defined, signed properly.
    SigstructAttributes,
    /// A version in the sigstruct, which was reserved before P-SEAMLDR 2.0, signed properly.
    SigstructVersion,
    /// A byte of the sigstruct's page behind the sigstruct, which nobody reads.
    SigstructPadding,
    /// Not an ELF file; hash and signature fit.
    Elf,
}

impl Mutation {
    /// All of them.
    pub const ALL: [Self; 28] = [
        Self::Magic,
        Self::Version,
        Self::HeaderReserved,
        Self::Checksum,
        Self::Truncated,
        Self::Padded,
        Self::SigstructPagesZero,
        Self::SigstructPagesTwo,
        Self::SigstructPagesWrap,
        Self::NoSigstruct,
        Self::ModulePagesOneMore,
        Self::ModulePagesTooMany,
        Self::ModulePagesHuge,
        Self::ModulePagesWrap,
        Self::NoModule,
        Self::BareHeader,
        Self::Signature,
        Self::SignedField,
        Self::Modulus,
        Self::Hash,
        Self::SigstructReserved40,
        Self::SigstructReserved978,
        Self::SigstructReserved989,
        Self::SigstructReserved,
        Self::SigstructAttributes,
        Self::SigstructVersion,
        Self::SigstructPadding,
        Self::Elf,
    ];

    /// The file with this one thing wrong. But for [`Mutation::Checksum`] and [`Mutation::Truncated`] the checksum fits.
    /// `file` must be a valid image; those that change counts or sign again need version 0x200.
    pub fn apply(self, file: &[u8]) -> Vec<u8> {
        let mut out = file.to_vec();
        match self {
            Self::Magic => {
                let at = if out[4] == b'T' { 4 } else { 8 };
                out[at] ^= 1;
            }
            Self::Version => out[0] ^= 0xFF,
            Self::HeaderReserved => out[4000] = 1,
            Self::Checksum => out[2] ^= 1,
            Self::Truncated => out.truncate(file.len() - PAGE),
            Self::Padded => out.resize(file.len() + PAGE, 0),
            Self::Signature => out[PAGE + 516] ^= 1,
            Self::SignedField => out[PAGE + 20] ^= 1,
            Self::Modulus => out[PAGE + 130] ^= 1,
            Self::Hash => *out.last_mut().expect("an image is not empty") ^= 1,
            Self::SigstructPadding => out[2 * PAGE - 1] = 1,
            Self::Elf => return resigned(file, |_, module| module[0] = 0),
            counts_or_signed => {
                return counts_or_signed.apply_to_counts(file).unwrap_or_else(|| resigned(file, |s, _| self.set(s)));
            }
        }
        if !matches!(self, Self::Checksum | Self::Truncated) {
            set_checksum(&mut out);
        }
        out
    }

    /// Other counts of pages; none if this is not about them.
    fn apply_to_counts(self, file: &[u8]) -> Option<Vec<u8>> {
        let (header, rest) = file.split_at(PAGE);
        let (sigstruct, module) = rest.split_at(PAGE);
        let pages = (module.len() / PAGE) as u32;
        let too_many = vec![0; (MAX_MODULE_PAGES + 1) * PAGE - module.len()];
        let (counts, parts): ([u32; 2], &[&[u8]]) = match self {
            Self::SigstructPagesZero => ([0, pages], &[sigstruct, module]),
            Self::SigstructPagesTwo => ([2, pages - 1], &[sigstruct, module]),
            Self::SigstructPagesWrap => ([1 + WRAP, pages], &[sigstruct, module]),
            Self::NoSigstruct => ([0, pages], &[module]),
            Self::ModulePagesOneMore => ([1, pages + 1], &[sigstruct, module]),
            Self::ModulePagesTooMany => ([1, MAX_MODULE_PAGES as u32 + 1], &[sigstruct, module, &too_many]),
            Self::ModulePagesHuge => ([1, WRAP - 1], &[sigstruct, module]),
            Self::ModulePagesWrap => ([1, pages + WRAP], &[sigstruct, module]),
            Self::NoModule => ([1, 0], &[sigstruct]),
            Self::BareHeader => ([0, 0], &[]),
            _ => return None,
        };
        let mut out = [&[header], parts].concat().concat();
        out[12..16].copy_from_slice(&counts[0].to_le_bytes());
        out[16..20].copy_from_slice(&counts[1].to_le_bytes());
        set_checksum(&mut out);
        Some(out)
    }

    /// A field of the sigstruct that has to be zero and is not.
    fn set(self, sig: &mut SigStruct) {
        match self {
            Self::SigstructReserved40 => sig.reserved_0[0] = 1,
            Self::SigstructReserved978 => sig.reserved_1[0] = 1,
            Self::SigstructReserved989 => sig.reserved_2 = 1,
            Self::SigstructReserved => sig.reserved_3[0] = 1,
            Self::SigstructAttributes => sig.attributes = 1.into(),
            Self::SigstructVersion => sig.module_version[0] = 1,
            other => unreachable!("{other:?} is no field of the sigstruct"),
        }
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
