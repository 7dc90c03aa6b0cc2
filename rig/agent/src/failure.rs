//! How the agent puts an error into an answer.

use rig_wire::agent::Failure;
use std::fmt::Display;
use std::io;

/// The action that failed, and what the system said.
pub(crate) fn from_io(action: impl Display, error: &io::Error) -> Failure {
    Failure { errno: error.raw_os_error(), what: format!("{action}: {error}") }
}

/// The action that failed, and the errno that came of it.
pub(crate) fn from_errno(action: impl Display, errno: nix::errno::Errno) -> Failure {
    Failure { errno: Some(errno as i32), what: format!("{action}: {}", errno.desc()) }
}

/// A request that the agent itself refuses; `errno` is the one a kernel would give for it.
pub(crate) fn refused(errno: i32, why: impl Display) -> Failure {
    Failure { errno: Some(errno), what: why.to_string() }
}
