//! What the agent reports of the guest in its first message.

use crate::{failure, files};
use rig_wire::agent::{Failure, PROTOCOL_VERSION, Ready};

/// Gathers the first message.
pub(crate) fn ready() -> Result<Ready, Failure> {
    Ok(Ready {
        protocol: PROTOCOL_VERSION,
        kernel: line("/proc/sys/kernel/osrelease").or_else(|_| version_release())?,
        cpus_online: line("/sys/devices/system/cpu/online")?,
        cpus_present: line("/sys/devices/system/cpu/present")?,
    })
}

/// The release from `/proc/version`, which kernels without sysctl have too.
fn version_release() -> Result<String, Failure> {
    let version = line("/proc/version")?;
    let release = version.split_whitespace().nth(2);
    release.map(str::to_owned).ok_or_else(|| failure::refused(libc::EPROTO, format_args!("no release in {version:?}")))
}

fn line(path: &str) -> Result<String, Failure> {
    Ok(String::from_utf8_lossy(&files::read(path)?).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sources_of_the_release_agree() {
        assert_eq!(version_release().unwrap(), line("/proc/sys/kernel/osrelease").unwrap());
    }
}
