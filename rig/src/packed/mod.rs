//! Files that are packed into one archive.

mod archive;

pub use archive::archive;

/// Version of what is packed.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One file of the archive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// Path below the archive's folder.
    pub path: String,
    /// Whether it is a program.
    pub program: bool,
    /// Its bytes.
    pub bytes: Vec<u8>,
}
