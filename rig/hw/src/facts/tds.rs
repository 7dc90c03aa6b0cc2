//! Trust domains that run on the host, as far as it says.
//!
//! KVM charges the private KeyID of each TD to the cgroup controller `misc` as resource `tdx`
//! (`arch/x86/kvm/vmx/tdx.c`, `include/linux/misc_cgroup.h` of Linux 7.3), and the root group counts them all. Without that
//! controller virtual machines can be counted, by who has one open, but not which of them are TDs.

use crate::host::Host;
use std::fmt;

/// How many there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tds {
    /// None, and it is known.
    None,
    /// So many KeyIDs are in use.
    Running(u64),
    /// So many virtual machines run, and any of them may be a TD.
    Unknown(usize),
}

/// What a virtual machine's file descriptor is called.
const VM: &str = "anon_inode:kvm-vm";
/// The controller's root group, in both versions of cgroups.
const CURRENT: [&str; 2] = ["/sys/fs/cgroup/misc.current", "/sys/fs/cgroup/misc/misc.current"];

impl Tds {
    /// Counts them.
    pub fn find(host: &Host) -> Self {
        if !kvm_has_tdx(host) {
            return Self::None;
        }
        let current = CURRENT.iter().find_map(|path| host.text(path));
        match (current.as_deref().and_then(tdx_keys), machines(host)) {
            (Some(0), _) | (None, 0) => Self::None,
            (Some(keys), _) => Self::Running(keys),
            (None, machines) => Self::Unknown(machines),
        }
    }
}

/// Whether KVM can run TDs at all.
pub(crate) fn kvm_has_tdx(host: &Host) -> bool {
    host.text("/sys/module/kvm_intel/parameters/tdx").is_some_and(|tdx| tdx == "Y")
}

/// `tdx 3`, a line of `misc.current`.
fn tdx_keys(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("tdx ")?.trim().parse().ok())
}

/// Virtual machines that some process has open. Root sees all of them.
fn machines(host: &Host) -> usize {
    let is_process = |name: &std::ffi::OsString| name.to_str().is_some_and(|n| n.parse::<u32>().is_ok());
    let of_process = |process: std::ffi::OsString| {
        let folder = format!("/proc/{}/fd", process.to_string_lossy());
        let opened = host.list(&folder).into_iter().map(move |fd| format!("{folder}/{}", fd.to_string_lossy()));
        opened.filter(|fd| std::fs::read_link(host.path(fd)).is_ok_and(|to| to.to_string_lossy() == VM)).count()
    };
    host.list("/proc").into_iter().filter(is_process).map(of_process).sum()
}

impl fmt::Display for Tds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => write!(f, "none"),
            Self::Running(n) => write!(f, "{n}"),
            Self::Unknown(n) => write!(f, "unknown: {n} virtual machine(s), any of which may be one"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn host(tdx: &str, current: Option<&str>, machines: usize) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        put("sys/module/kvm_intel/parameters/tdx", tdx);
        current.inspect(|text| put("sys/fs/cgroup/misc.current", text));
        for number in 0..machines {
            let folder = root.path().join(format!("proc/{}/fd", 100 + number));
            fs::create_dir_all(&folder).unwrap();
            symlink(VM, folder.join("7")).unwrap();
            symlink("/dev/kvm", folder.join("8")).unwrap();
        }
        let host = Host::at(root.path());
        (root, host)
    }

    #[test]
    fn keys_in_use_are_trust_domains() {
        for (tdx, current, machines, expected) in [
            ("Y\n", Some("tdx 3\n"), 5, Tds::Running(3)),
            ("Y\n", Some("sev 1\ntdx 0\n"), 5, Tds::None),
            ("Y\n", Some("sev 1\n"), 2, Tds::Unknown(2)),
            ("Y\n", None, 2, Tds::Unknown(2)),
            ("Y\n", None, 0, Tds::None),
            ("N\n", None, 2, Tds::None),
        ] {
            let (_root, host) = host(tdx, current, machines);
            assert_eq!(Tds::find(&host), expected, "{tdx:?} {current:?} {machines}");
        }
    }
}
