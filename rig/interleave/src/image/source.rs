//! Where code and initial memory come from.

use super::symbols::Symbols;

/// Bytes of a kernel before the section: its ELF file, or a machine that stands there.
pub trait Source: Sync {
    /// The bytes from `address` to the end of the region in which it lies; none if nothing lies there.
    fn bytes(&self, address: u64) -> Option<&[u8]>;

    /// Names of functions and variables.
    fn symbols(&self) -> &Symbols;

    /// SHA-256 of the kernel's ELF file, in hexadecimal digits.
    fn digest(&self) -> &str;

    /// The CPUs of a machine that stands; none for a file, where what a boot sets has to be filled in before a proof begins.
    fn cpus(&self) -> &[StandingCpu];

    /// Up to `length` bytes from `address` on, over the ends of regions.
    fn gather(&self, address: u64, length: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < length
            && let Some(bytes) = address.checked_add(all.len() as u64).and_then(|next| self.bytes(next))
        {
            all.extend(bytes.iter().take(length - all.len()));
        }
        all
    }
}

/// A CPU that stands, before its next instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StandingCpu {
    /// RAX, RCX, RDX, RBX, RSP, RBP, RSI, RDI, R8 to R15.
    pub gpr: [u64; 16],
    /// The next instruction.
    pub rip: u64,
    /// RFLAGS. QEMU writes down its arithmetic flags elsewhere, so only the others are right.
    pub rflags: u64,
    /// GS base.
    pub gs_base: u64,
}
