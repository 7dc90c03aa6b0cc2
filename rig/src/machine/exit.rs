//! How QEMU ended.

use nix::errno::Errno;
use std::fmt;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Duration;

/// Grace for the exit of a QEMU whose channels closed: a busy host takes some seconds to free its memory.
pub const EXIT_GRACE: Duration = Duration::from_secs(15);

/// How a process ended, as far as that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QemuExit {
    /// As the kernel reported.
    Known(ExitStatus),
    /// It has ended, but the kernel did not report how: the error of waiting for it.
    Unknown(Errno),
}

impl QemuExit {
    /// The exit code of one that ended by itself.
    pub fn code(self) -> Option<i32> {
        match self {
            Self::Known(status) => status.code(),
            Self::Unknown(_) => None,
        }
    }

    /// The signal that ended it.
    pub fn signal(self) -> Option<i32> {
        match self {
            Self::Known(status) => status.signal(),
            Self::Unknown(_) => None,
        }
    }

    /// Whether it is known to have ended well.
    pub fn success(self) -> bool {
        self.code() == Some(0)
    }
}

impl From<ExitStatus> for QemuExit {
    fn from(status: ExitStatus) -> Self {
        Self::Known(status)
    }
}

impl fmt::Display for QemuExit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(status) => status.fmt(f),
            Self::Unknown(errno) => write!(f, "in an unknown way: waiting for it failed: {errno}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_end_is_no_success() {
        assert!(QemuExit::from(ExitStatus::from_raw(0)).success());
        let unknown = QemuExit::Unknown(Errno::ECHILD);
        assert!(!unknown.success());
        assert_eq!((unknown.code(), unknown.signal()), (None, None));
        assert!(unknown.to_string().contains("unknown"), "{unknown}");
    }
}
