//! What the instruction at a site does.

use crate::Access;

/// What the instruction at a site does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// SEAMCALL.
    Seamcall,
    /// VMXON m64.
    Vmxon,
    /// VMXOFF.
    Vmxoff,
    /// `mov %cr4, r64`: the number of the general register.
    ReadCr4(u8),
    /// `mov r64, %cr4`: the number of the general register.
    WriteCr4(u8),
    /// ENDBR64 at the entry of a watched function: its index.
    Enter(usize),
    /// An access to a watched word.
    Access(Access),
}
