//! Reading and converting image files.

use super::build::assemble;
use super::key;
use crate::KeyHash;
use crate::abi::PAGE_SIZE;
use crate::abi::blob::{self, BlobHeader, BlobHeader1};
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
    #[error("the file has no TDX-BLOB mark or a version other than 0x100 and 0x200: it is no module image")]
    NotABlob,
    #[error("the header tells of {sigstruct} sigstruct pages and {module} module pages: 1 and 1 to 496 are possible")]
    PageCounts { sigstruct: u32, module: u32 },
    #[error("the file has {actual} bytes and its header tells of {expected}: it is truncated or padded")]
    Size { expected: u64, actual: u64 },
    #[error("bytes that must be zero are not: the file is damaged")]
    Reserved,
    #[error("the checksum is wrong: the 16-bit sum is {0:#x} instead of 0; the file is damaged")]
    Checksum(u16),
}

impl Image {
    /// Takes a file apart, of the form that Linux takes (0x200) or of the one that was released (0x100).
    pub fn parse(file: &[u8]) -> Result<Self, ImageError> {
        let (header, _) = BlobHeader::ref_from_prefix(file).map_err(|_| ImageError::TooShort(file.len()))?;
        let module_offset = match header.version.get() {
            blob::VERSION => check_header(header, file.len())?,
            blob::VERSION_1 => check_header_1(file)?,
            _ => return Err(ImageError::NotABlob),
        };
        match blob::checksum16(file) {
            0 => {}
            sum => return Err(ImageError::Checksum(sum)),
        }
        let (sigstruct, _) = SigStruct::read_from_prefix(&file[PAGE_SIZE as usize..]).expect("the size was checked");
        Ok(Self { sigstruct: Box::new(sigstruct), module: file[module_offset..].to_vec() })
    }

    /// Hash of the key that signed it, for [`crate::Config::trusted_key_hashes`].
    pub fn key_hash(&self) -> KeyHash {
        KeyHash(key::hash(&self.sigstruct.modulus))
    }

    /// Signs the sigstruct as it is now with the test key.
    pub fn sign(&mut self) {
        key::sign(&mut self.sigstruct);
    }

    /// The file of version 0x200, which Linux takes.
    pub fn to_file(&self) -> Vec<u8> {
        assemble(&self.sigstruct, &self.module)
    }
}

/// Where the module begins in a file of version 0x200.
fn check_header(header: &BlobHeader, size: usize) -> Result<usize, ImageError> {
    if header.signature != blob::SIGNATURE {
        // In version 0x100 the mark stands elsewhere; this is neither.
        return Err(ImageError::NotABlob);
    }
    let (sigstruct, module) = (header.sigstruct_pages.get(), header.module_pages.get());
    if sigstruct != 1 || module == 0 || module as usize > MAX_MODULE_PAGES {
        return Err(ImageError::PageCounts { sigstruct, module });
    }
    let expected = PAGE_SIZE * (2 + u64::from(module));
    if expected != size as u64 {
        return Err(ImageError::Size { expected, actual: size as u64 });
    }
    if header.reserved != [0; 4076] {
        return Err(ImageError::Reserved);
    }
    Ok(2 * PAGE_SIZE as usize)
}

/// Where the module begins in a file of version 0x100.
fn check_header_1(file: &[u8]) -> Result<usize, ImageError> {
    let (header, _) = BlobHeader1::ref_from_prefix(file).map_err(|_| ImageError::TooShort(file.len()))?;
    if header.signature != blob::SIGNATURE {
        return Err(ImageError::NotABlob);
    }
    if u64::from(header.length.get()) != file.len() as u64 {
        return Err(ImageError::Size { expected: header.length.get().into(), actual: file.len() as u64 });
    }
    let offset = u64::from(header.module_offset.get());
    let module = (file.len() as u64).saturating_sub(offset);
    let whole_pages = (offset | module).is_multiple_of(PAGE_SIZE);
    if offset < 2 * PAGE_SIZE || !whole_pages || module == 0 || module / PAGE_SIZE > MAX_MODULE_PAGES as u64 {
        return Err(ImageError::PageCounts { sigstruct: 1, module: (module / PAGE_SIZE) as u32 });
    }
    let padding = &file[(PAGE_SIZE + size_of::<SigStruct>() as u64) as usize..offset as usize];
    if header.reserved != [0; 4076] || padding.iter().any(|byte| *byte != 0) {
        return Err(ImageError::Reserved);
    }
    Ok(offset as usize)
}
