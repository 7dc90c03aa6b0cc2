//! What was judged, and by what: the guest's kernel image and the rig's own build.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// The image of the guest's kernel.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct KernelImage {
    /// Where it lies.
    pub path: PathBuf,
    /// The running kernel's version as uname(2) has it, such as `#32 SMP PREEMPT_DYNAMIC Sat Nov 28 12:00:00 UTC 2026`; none:
    /// the kernel's log does not say.
    pub build: Option<String>,
    /// SHA-256 in hexadecimal; none: the image could not be read.
    pub sha256: Option<String>,
}

/// The build of the rig that made the verdict.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct RigBuild {
    /// Its version.
    pub version: String,
    /// The git revision that it was built from, with `+changes` behind it when files differed from that; `unknown` when it was
    /// not built in a git checkout.
    pub revision: String,
}

/// A revision that is not known.
const UNKNOWN: &str = "unknown";

impl Default for RigBuild {
    fn default() -> Self {
        Self { version: env!("CARGO_PKG_VERSION").into(), revision: UNKNOWN.into() }
    }
}

impl RigBuild {
    /// In one line, such as `0.1.0 (fe535c9a1b2c)`.
    pub fn summary(&self) -> String {
        match self.revision.as_str() {
            UNKNOWN => format!("{} (revision unknown)", self.version),
            revision => format!("{} ({revision})", self.version),
        }
    }
}

impl KernelImage {
    /// Characters of the hash that tell images apart for people.
    const HASH_CHARS: usize = 12;

    /// Path and hash in one line, such as `/boot/vmlinuz, sha256 24c4759b1f2e`.
    pub fn summary(&self) -> String {
        let hash = self.sha256.as_deref().and_then(|hash| hash.get(..Self::HASH_CHARS));
        let hash = hash.map(|hash| format!(", sha256 {hash}")).unwrap_or_default();
        format!("{}{hash}", self.path.display())
    }
}

/// The version as uname(2) has it, from the kernel's first line: `Linux version 7.3.4 (who@where) (compiler) #32 SMP ...`.
pub fn build_of_log(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.contains("Linux version "))?;
    let (_, build) = line.rsplit_once(") #")?;
    Some(format!("#{}", build.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_build_is_read_from_the_first_line() {
        let log = "[    0.000000] Linux version 7.3.4 (rig@rig) (gcc (Debian 15) 15.2.0, GNU ld 2.45) #32 SMP PREEMPT Sat\n\
            [    0.000001] Command line: x\n";
        assert_eq!(build_of_log(log).as_deref(), Some("#32 SMP PREEMPT Sat"));
        assert_eq!(build_of_log("[ 0.0] Command line: (x) #1"), None);
        assert_eq!(build_of_log("Linux version 7.3.4"), None);
    }

    #[test]
    fn lines_for_people_name_path_hash_and_revision() {
        let sha256 = Some("24c4759b1f2e00000000".into());
        let image = KernelImage { path: "/boot/vmlinuz".into(), build: None, sha256 };
        assert_eq!(image.summary(), "/boot/vmlinuz, sha256 24c4759b1f2e");
        assert_eq!(KernelImage { sha256: None, ..image }.summary(), "/boot/vmlinuz");
        let rig = RigBuild { version: "0.1.0".into(), revision: "fe535c9".into() };
        assert_eq!(rig.summary(), "0.1.0 (fe535c9)");
        assert_eq!(RigBuild { revision: UNKNOWN.into(), ..rig }.summary(), "0.1.0 (revision unknown)");
    }
}
