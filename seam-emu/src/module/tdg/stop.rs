//! How a leaf of TDCALL ends before its end.

use crate::abi::Status;
use crate::script::Reach;

/// Why a leaf does not end with success.
pub(super) enum Stop {
    /// It is refused, or has a warning.
    Status(Status),
    /// The vCPU leaves the TD at the same instruction, since this guest-physical address is out of its reach.
    Reach(u64, Reach),
}

impl From<Status> for Stop {
    fn from(status: Status) -> Self {
        Self::Status(status)
    }
}

pub(super) type TdgOutcome = Result<(), Stop>;
