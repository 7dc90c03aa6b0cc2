//! Where code and initial memory come from.

use super::symbols::Symbols;

/// Bytes of a kernel before the section: its ELF file, or a machine that was stopped there.
pub trait Source: Sync {
    /// The bytes from `address` to the end of the region in which it lies; none if nothing lies there.
    fn bytes(&self, address: u64) -> Option<&[u8]>;

    /// Names of functions and variables.
    fn symbols(&self) -> &Symbols;

    /// SHA-256 of all that was read, in hexadecimal digits.
    fn digest(&self) -> &str;

    /// Whether memory is that of a running machine. If not, what a boot sets has to be filled in before a proof begins.
    fn is_running(&self) -> bool;
}
