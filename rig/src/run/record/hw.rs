//! How one order to the program for real hosts ended.

use super::program::Ended;

/// How one order ended.
#[derive(Debug)]
pub(crate) struct Ordered {
    /// How the program ended.
    pub(crate) ended: Ended,
    /// Evidence, by file name.
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
}
