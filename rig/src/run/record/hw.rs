//! How one order to the program for real hosts ended.

use super::program::ProgramEnd;

/// How one order ended.
#[derive(Debug)]
pub(crate) struct OrderEnd {
    /// How the program ended.
    pub(crate) program: ProgramEnd,
    /// Evidence, by file name.
    pub(crate) files: Vec<(&'static str, Vec<u8>)>,
}
