//! What goes wrong outside the subject, and how a command reports it.

use rig_images::{Fragment, ImagesError};
use std::fmt;
use std::path::Path;

/// How a command ends; the numbers are the process's exit codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// The scenario's expectation was met.
    Passed = 0,
    /// An invariant was broken, or the expectation was not met.
    Failed = 1,
    /// The command line or a scenario file is wrong.
    Usage = 2,
    /// The guest made no progress within its budget.
    Hung = 3,
    /// The guest's kernel panicked or reset.
    Crashed = 4,
    /// The rig, or what it needs on this machine, failed.
    Environment = 5,
    /// What was claimed was not seen within a bound, which is no proof.
    NotReproduced = 6,
    /// A commit cannot be tested, in the words of `git bisect run`: it does not build, or the rig or this machine failed.
    Untestable = 125,
    /// The run was not possible here, and that is no fault of anybody.
    Skipped = 77,
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

    /// The rig or this machine failed.
    pub fn environment(cause: impl Into<String>, help: impl Into<String>) -> Self {
        Self { exit: Exit::Environment, cause: cause.into(), help: help.into() }
    }

    /// A file could not be used. Tells a full disk and missing rights from the rest.
    pub fn file(doing: &str, path: &Path, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let help = match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                "free some space on that file system, or choose another place with --out".to_owned()
            }
            ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                "choose a place that you may write to with --out".to_owned()
            }
            ErrorKind::NotFound => format!("check that {} exists", path.display()),
            _ => "check the file system and try again".to_owned(),
        };
        Self::environment(format!("cannot {doing} {}: {error}", path.display()), help)
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.cause)
    }
}

impl std::error::Error for Trouble {}

impl From<ImagesError> for Trouble {
    fn from(error: ImagesError) -> Self {
        let exit = match &error {
            ImagesError::NoKernelImage(_)
            | ImagesError::NoSymbols(_)
            | ImagesError::NoTdxHost { .. }
            | ImagesError::NoFragment { .. }
            | ImagesError::NoProfile { .. }
            | ImagesError::NoDebianSeries { .. }
            | ImagesError::NoDebianKernel(_)
            | ImagesError::NoKernelSource(_)
            | ImagesError::NoConfig(_)
            | ImagesError::NoModule { .. } => Exit::Usage,
            // Those of the rig's own fragments are our fault.
            ImagesError::ConfigLine { fragment, .. } if fragment == Fragment::ADDED => Exit::Usage,
            // A scenario that needs a module says nothing of a kernel for which none can be built here.
            ImagesError::NoModuleBuild { .. } | ImagesError::NoCompiler { .. } => Exit::Skipped,
            _ => Exit::Environment,
        };
        Self { exit, cause: error.to_string(), help: error.remedy() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    #[test]
    fn a_full_disk_has_its_own_remedy() {
        let full = Trouble::file("write", Path::new("/x"), &Error::from(ErrorKind::StorageFull));
        let other = Trouble::file("write", Path::new("/x"), &Error::from(ErrorKind::InvalidData));
        assert!(full.help.contains("free some space"), "{full:?}");
        assert!(!other.help.contains("free some space"), "{other:?}");
        assert_eq!(full.exit, Exit::Environment);
    }
}
