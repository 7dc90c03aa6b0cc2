//! One operation on a way through the states.

use crate::firmware::Reply;
use serde::Serialize;

/// What a CPU does, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Act {
    /// The CPU.
    pub cpu: u8,
    /// The address of the instruction.
    pub at: u64,
    /// What it does.
    pub deed: Deed,
    /// Whether interrupts are enabled.
    pub interrupts: bool,
}

/// What an operation does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// Reads memory.
    Read {
        /// Its address.
        address: u64,
        /// Bytes.
        size: u8,
        /// What it finds.
        value: u64,
    },
    /// Writes memory, visibly at once.
    Write {
        /// Its address.
        address: u64,
        /// Bytes.
        size: u8,
        /// What it writes.
        value: u64,
    },
    /// A locked instruction.
    Exchange {
        /// Its address.
        address: u64,
        /// Bytes.
        size: u8,
        /// What it finds.
        value: u64,
        /// What it leaves there; none if it writes nothing.
        written: Option<u64>,
    },
    /// The oldest store in the CPU's buffer becomes visible.
    Flush {
        /// Its address.
        address: u64,
        /// Bytes.
        size: u8,
        /// What it writes.
        value: u64,
    },
    /// A locked instruction on a word of the CPU's own, before which its stores become visible.
    Fence,
    /// Begins a SEAMCALL.
    Enter {
        /// RAX.
        rax: u64,
        /// RDX.
        rdx: u64,
    },
    /// Comes back from a SEAMCALL.
    Leave {
        /// RAX at its begin.
        rax: u64,
        /// What it returns.
        reply: Reply,
        /// Whether the search made it fail.
        injected: bool,
    },
}

impl Deed {
    /// The memory that it touches: address, bytes, and whether it writes.
    pub const fn touches(&self) -> Option<(u64, u8, bool)> {
        match *self {
            Self::Read { address, size, .. } => Some((address, size, false)),
            Self::Exchange { address, size, written, .. } => Some((address, size, written.is_some())),
            Self::Write { address, size, .. } | Self::Flush { address, size, .. } => Some((address, size, true)),
            Self::Fence | Self::Enter { .. } | Self::Leave { .. } => None,
        }
    }
}
