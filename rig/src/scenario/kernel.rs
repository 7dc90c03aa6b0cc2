//! How a scenario names its kernel.

use super::Scenario;
use std::path::Path;

/// Begins the name of a kernel of Debian's, in place of a path.
pub(crate) const DEBIAN: &str = "debian:";
/// Begins the name of a kernel that the rig builds with more checks, in place of a path.
pub(crate) const PROFILE: &str = "profile:";

impl Scenario {
    /// The kernel, if it is a file or folder of this machine.
    pub(crate) fn kernel_path(&self) -> Option<&Path> {
        self.kernel.as_deref().filter(|_| !self.is_named(DEBIAN) && !self.is_named(PROFILE))
    }

    /// Whether the kernel's name begins so.
    pub(crate) fn is_named(&self, prefix: &str) -> bool {
        self.kernel.as_ref().is_some_and(|kernel| kernel.to_string_lossy().starts_with(prefix))
    }
}
