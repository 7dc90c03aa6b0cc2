//! Why a vCPU left the guest.

use crate::Code;
use std::fmt;

/// Why a vCPU left the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// A signal or `immediate_exit`.
    Interrupted,
    /// OUT of one byte to this port.
    Out(u16),
    /// Anything else: the exit reason of the KVM API.
    Other(u32),
}

/// An exit that is not from a site.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnknownExit {
    /// The exit.
    pub exit: Exit,
    /// RIP.
    pub address: u64,
    /// The bytes at RIP, or before it where the vCPU stands behind an OUT; none: they are not in the kernel's image.
    pub code: Option<Code>,
}

impl fmt::Display for UnknownExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.exit {
            Exit::Interrupted => write!(f, "the vCPU was interrupted")?,
            Exit::Out(port) => write!(f, "the vCPU wrote to port {port:#x}, which no site does,")?,
            Exit::Other(reason) => write!(f, "the vCPU left the guest for reason {reason} of the KVM API")?,
        }
        write!(f, " at {:#x}", self.address)?;
        match self.code {
            Some(code) => write!(f, " (bytes {code})"),
            None => f.write_str(" (no byte of it is in the kernel's image)"),
        }
    }
}
