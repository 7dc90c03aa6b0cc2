//! How a scenario names its kernel.

use super::{Scenario, Shape, Subject};
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

    /// Says what does not fit its kernel.
    pub(super) fn check_kernel(&self) -> Result<(), String> {
        if self.is_named(DEBIAN) && self.subject != Subject::Kmod {
            return Err("Debian's kernels are built without TDX host support: set `subject` to \"kmod\"".into());
        }
        if self.shape.is_some() && self.subject != Subject::InTree {
            return Err("`shape` describes the update of a kernel: leave it out for the subject \"kmod\"".into());
        }
        self.check_kconfig()?;
        self.shape.iter().try_for_each(Shape::check)?;
        self.claim.iter().try_for_each(|claim| claim.check(self.kernel.is_none()))
    }

    /// Says what makes its lines of kernel configuration impossible.
    fn check_kconfig(&self) -> Result<(), String> {
        if let Some(line) = self.kconfig.iter().find(|line| !is_config_line(line)) {
            return Err(format!("`kconfig` has \"{line}\", which is no CONFIG_KEY=value"));
        }
        let is_ours = self.kernel.is_none() || self.is_named(PROFILE);
        if self.kconfig.is_empty() || is_ours {
            Ok(())
        } else {
            Err("`kconfig` is for the kernel that the rig builds, and `kernel` names another".into())
        }
    }
}

/// Whether it is a line that sets an option: Kconfig's values are y, m, n, numbers and quoted text.
fn is_config_line(line: &str) -> bool {
    let is_key = |key: &str| key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') && !key.is_empty();
    let parts = line.strip_prefix("CONFIG_").and_then(|rest| rest.split_once('='));
    parts.is_some_and(|(key, value)| is_key(key) && !value.is_empty() && !value.contains(['\n', '\r']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn configuration_is_for_the_rigs_own_kernel() {
        let check = |line: &str, kernel: Option<&str>| {
            let kernel = kernel.map(Into::into);
            Scenario { kconfig: vec![line.into()], kernel, ..Scenario::default() }.check_kconfig()
        };
        assert_eq!(check("CONFIG_DEBUG_LIST=y", None), Ok(()));
        assert_eq!(check("CONFIG_HZ=100", Some("profile:debug")), Ok(()));
        assert!(check("CONFIG_DEBUG_LIST=y", Some("/home/me/linux")).unwrap_err().contains("names another"));
        for line in
            ["DEBUG_LIST=y", "CONFIG_DEBUG_LIST", "CONFIG_=y", "CONFIG_X=", "CONFIG_X=y\nCONFIG_Y=y", "CONFIG_X Y=y"]
        {
            assert!(check(line, None).unwrap_err().contains("no CONFIG_KEY=value"), "{line}");
        }
    }
}
