//! Reading image files.

use crate::abi::PAGE_SIZE;
use crate::abi::blob::{self, BlobHeader};
use crate::abi::seamldr::MAX_MODULE_PAGES;
use crate::abi::sigstruct::SigStruct;
use thiserror::Error;
use zerocopy::FromBytes;

/// An image file taken apart. Its form is valid; its contents are for P-SEAMLDR to verify.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Manifest and signature.
    pub sigstruct: Box<SigStruct>,
    /// The module's pages, one after the other.
    pub module: Vec<u8>,
}

/// Why a file is no image. The same as Linux refuses, and a wrong checksum, which Linux does not check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[expect(missing_docs, reason = "the messages say it")]
pub enum ImageError {
    #[error("the file has {0} bytes, less than the header of 4096: it is truncated or no module image")]
    TooShort(usize),
    #[error("the file does not begin with version 0x200 and TDX-BLOB: it is no module image")]
    NotABlob,
    #[error("the header tells of {sigstruct} sigstruct pages and {module} module pages: 1 and 1 to 496 are possible")]
    PageCounts { sigstruct: u32, module: u32 },
    #[error("the file has {actual} bytes and its header tells of {expected}: it is truncated or padded")]
    Size { expected: u64, actual: u64 },
    #[error("reserved bytes of the header are not zero")]
    Reserved,
    #[error("the checksum is wrong: the 16-bit sum is {0:#x} instead of 0; the file is damaged")]
    Checksum(u16),
}

impl Image {
    /// Takes a file apart.
    pub fn parse(file: &[u8]) -> Result<Self, ImageError> {
        let (header, payload) = BlobHeader::ref_from_prefix(file).map_err(|_| ImageError::TooShort(file.len()))?;
        if header.version.get() != blob::VERSION || header.signature != blob::SIGNATURE {
            return Err(ImageError::NotABlob);
        }
        let (sigstruct, module) = (header.sigstruct_pages.get(), header.module_pages.get());
        if sigstruct != 1 || module == 0 || module as usize > MAX_MODULE_PAGES {
            return Err(ImageError::PageCounts { sigstruct, module });
        }
        let expected = PAGE_SIZE * (2 + u64::from(module));
        if expected != file.len() as u64 {
            return Err(ImageError::Size { expected, actual: file.len() as u64 });
        }
        if header.reserved != [0; 4076] {
            return Err(ImageError::Reserved);
        }
        match blob::checksum16(file) {
            0 => {}
            sum => return Err(ImageError::Checksum(sum)),
        }
        let (sigstruct_page, module) = payload.split_at(PAGE_SIZE as usize);
        let (sigstruct, _) = SigStruct::read_from_prefix(sigstruct_page).expect("a page is larger than a sigstruct");
        Ok(Self { sigstruct: Box::new(sigstruct), module: module.to_vec() })
    }
}
