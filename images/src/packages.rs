//! Which packages are taken, and in which versions they are known to be good.

use crate::ImagesError;
use crate::apt::Apt;

/// Versions this program was tried with.
pub(crate) const PINS: &[(&str, &str)] =
    &[("qemu-system-x86", "1:11.1.3+ds-1~bpo13+1"), ("linux-source-7.3", "7.3.4-1~bpo13+1")];

/// The kernel's source package.
pub(crate) const LINUX_SOURCE: &str = "linux-source-7.3";

/// The first release of Linux with the run-time update of the TDX module.
const OLDEST_LINUX: (u32, u32) = (7, 2);

/// QEMU and the tool for its disk images.
pub(crate) const QEMU: &[&str] = &["qemu-system-x86", "qemu-utils"];

/// What building a kernel takes.
pub(crate) const BUILD: &[&str] = &[
    "bash",
    "bc",
    "bison",
    "coreutils",
    "cpio",
    "dash",
    "debianutils",
    "diffutils",
    "findutils",
    "flex",
    "gawk",
    "gcc",
    "grep",
    "gzip",
    "hostname",
    "kmod",
    "libc6-dev",
    "libelf-dev",
    "libssl-dev",
    "lz4",
    "make",
    "pahole",
    "perl-base",
    "python3-minimal",
    "sed",
    "sparse",
    "tar",
    "xz-utils",
    "zstd",
];

/// A package to ask apt for, and what the person is to know about it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// `NAME` or `NAME=VERSION`.
    pub(crate) wanted: String,
    /// Said when a pinned version has left the archive.
    pub(crate) warning: Option<String>,
}

/// `name` in its pinned version, or else the newest one that the archive has.
pub(crate) fn choose(apt: &Apt, name: &str) -> Result<Choice, ImagesError> {
    let Some((_, pinned)) = PINS.iter().find(|(pin, _)| *pin == name) else {
        return Ok(Choice { wanted: name.into(), warning: None });
    };
    fall_forward(name, pinned, &apt.versions(name)?)
}

fn fall_forward(name: &str, pinned: &str, available: &[String]) -> Result<Choice, ImagesError> {
    let newest = available.first().ok_or_else(|| ImagesError::NoPackage(name.into()))?;
    if available.iter().any(|version| version == pinned) {
        return Ok(Choice { wanted: format!("{name}={pinned}"), warning: None });
    }
    let warning = format!("{name} {pinned} has left the archive; {newest} is used instead");
    Ok(Choice { wanted: format!("{name}={newest}"), warning: Some(warning) })
}

/// The kernel's source: the pinned package, or else the newest release that has the subject.
pub(crate) fn choose_linux(apt: &Apt) -> Result<Choice, ImagesError> {
    let names = apt.names("linux-source-")?;
    let name = pick_linux(&names).ok_or_else(|| ImagesError::NoPackage(LINUX_SOURCE.into()))?;
    if name == LINUX_SOURCE {
        return choose(apt, LINUX_SOURCE);
    }
    let version = apt.versions(&name)?.into_iter().next().ok_or_else(|| ImagesError::NoPackage(name.clone()))?;
    let warning = format!("{LINUX_SOURCE} has left the archive; {name} {version} is used instead");
    Ok(Choice { wanted: format!("{name}={version}"), warning: Some(warning) })
}

fn pick_linux(names: &[String]) -> Option<String> {
    if names.iter().any(|name| name == LINUX_SOURCE) {
        return Some(LINUX_SOURCE.into());
    }
    let newer = names.iter().filter_map(|name| Some((linux_version(name)?, name)));
    newer.filter(|(version, _)| *version >= OLDEST_LINUX).max().map(|(_, name)| name.clone())
}

fn linux_version(name: &str) -> Option<(u32, u32)> {
    let (major, minor) = name.strip_prefix("linux-source-")?.split_once('.')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(items: &[&str]) -> Vec<String> {
        items.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn can_take_the_pinned_version() {
        let choice = fall_forward("q", "1", &strings(&["2", "1"])).unwrap();
        assert_eq!(choice, Choice { wanted: "q=1".into(), warning: None });
    }

    #[test]
    fn cannot_take_a_pinned_version_that_left() {
        let choice = fall_forward("q", "1", &strings(&["3", "2"])).unwrap();
        assert_eq!(choice.wanted, "q=3");
        assert!(choice.warning.unwrap().contains("1 has left the archive; 3 is used"));
        assert!(matches!(fall_forward("q", "1", &[]), Err(ImagesError::NoPackage(_))));
    }

    #[test]
    fn picks_a_linux_with_the_subject() {
        let pick = |names: &[&str]| pick_linux(&strings(names));
        assert_eq!(pick(&["linux-source-7.10", "linux-source-7.3"]).as_deref(), Some("linux-source-7.3"));
        assert_eq!(
            pick(&["linux-source-7.9", "linux-source-7.10", "linux-source-6.12"]).as_deref(),
            Some("linux-source-7.10")
        );
        assert_eq!(pick(&["linux-source-8.0", "linux-source-7.2"]).as_deref(), Some("linux-source-8.0"));
        assert_eq!(pick(&["linux-source-7.1", "linux-source-6.12", "linux-source-x"]), None);
    }
}
