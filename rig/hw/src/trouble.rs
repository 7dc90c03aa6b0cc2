//! Why a command could not do what it was asked: one line of cause, one line of remedy.

use std::fmt;
use std::path::Path;

/// What kind of trouble; the numbers are exit codes, the same as the rig's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The command line asks for something that cannot be.
    Usage = 2,
    /// This host does not allow it, or something failed that is not the subject.
    Host = 5,
    /// It was not done because it would be unsafe here, and no flag says to do it all the same.
    Refused = 6,
}

/// One line of cause and one line of remedy, with the exit code that goes with them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// The exit code.
    pub exit: Exit,
    /// What happened.
    pub cause: String,
    /// What mends it.
    pub help: String,
}

impl Trouble {
    /// The caller asked for something that cannot be.
    pub fn usage(cause: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, cause: cause.into(), help: help.into() }
    }

    /// The host does not allow it.
    pub fn host(cause: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit: Exit::Host, cause: cause.into(), help: help.into() }
    }

    /// It would be unsafe.
    pub fn refused(cause: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit: Exit::Refused, cause: cause.into(), help: help.into() }
    }

    /// A file could not be used.
    pub fn file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        let help = match error.kind() {
            std::io::ErrorKind::PermissionDenied => "be root, or choose another place".to_owned(),
            std::io::ErrorKind::NotFound => format!("check that {} exists", path.display()),
            _ => "check the file system and try again".to_owned(),
        };
        Self::host(format!("cannot {doing} {}: {error}", path.display()), help)
    }
}

/// Both lines, as people see them.
impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}\nhelp: {}", self.cause, self.help)
    }
}
