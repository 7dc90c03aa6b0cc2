//! How the agent puts an error into an answer.

use rig_wire::agent::Failure;
use std::fmt::Display;
use std::io;

/// What was tried, and what the system said.
pub(crate) fn from_io(tried: impl Display, error: &io::Error) -> Failure {
    Failure { errno: error.raw_os_error(), what: format!("{tried}: {error}") }
}

/// What was tried, and the errno that came of it.
pub(crate) fn from_errno(tried: impl Display, errno: nix::errno::Errno) -> Failure {
    Failure { errno: Some(errno as i32), what: format!("{tried}: {}", errno.desc()) }
}

/// A request that the agent itself refuses; `errno` is the one a kernel would give for it.
pub(crate) fn refused(errno: i32, why: impl Display) -> Failure {
    Failure { errno: Some(errno), what: why.to_string() }
}
