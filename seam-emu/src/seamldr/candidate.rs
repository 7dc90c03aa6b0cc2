//! What an INSTALL is to install.

use crate::abi::Digest;
use crate::abi::sigstruct::SigStruct;

/// What an INSTALL is to install.
pub(crate) struct Candidate {
    pub(crate) scenario: u32,
    pub(crate) sigstruct: Box<SigStruct>,
    /// The module's pages, one after the other.
    pub(crate) module: Vec<u8>,
    /// SHA-384 of `module`.
    pub(crate) hash: Digest,
}
