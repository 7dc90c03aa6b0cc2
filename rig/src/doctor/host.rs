//! Facts about the host.

use super::item::Item;
use std::path::Path;

/// Memory that the rig's largest usual run (64 vCPUs) takes, MiB.
const ENOUGH_MEMORY_MIB: u64 = 2048;
/// Space that the tool root, the kernel's source and its build take.
const ENOUGH_SPACE_MIB: u64 = 6 * 1024;

pub(super) fn cores() -> Item {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    match cores {
        1 => Item::note(
            "cores",
            "1: CPUs of the guest take turns, and real overlaps are rare",
            "use a host with 2 or more",
        ),
        n => Item::good("cores", n.to_string()),
    }
}

pub(super) fn memory() -> Item {
    match available_memory_mib() {
        Some(mib) if mib < ENOUGH_MEMORY_MIB => Item::note(
            "memory",
            format!("{mib} MiB available"),
            format!("free some: {ENOUGH_MEMORY_MIB} MiB are enough"),
        ),
        Some(mib) => Item::good("memory", format!("{mib} MiB available")),
        None => Item::note("memory", "unknown: /proc/meminfo does not say", "mount /proc"),
    }
}

/// Memory of this host that is available, MiB; none where it does not say.
pub(crate) fn available_memory_mib() -> Option<u64> {
    available_mib(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default())
}

/// `MemAvailable` of `/proc/meminfo`, in MiB.
fn available_mib(meminfo: &str) -> Option<u64> {
    let line = meminfo.lines().find_map(|l| l.strip_prefix("MemAvailable:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024)
}

pub(super) fn space(folder: &Path) -> Item {
    let Ok(fs) = nix::sys::statvfs::statvfs(folder) else {
        return Item::note("space", "unknown", format!("check that {} can be used", folder.display()));
    };
    let mib = fs.blocks_available().saturating_mul(fs.fragment_size()) >> 20;
    if mib < ENOUGH_SPACE_MIB {
        let mend = "free some (cargo rig images clean), or point RIG_CACHE at a larger disk";
        return Item::note(
            "space",
            format!("{mib} MiB free for the cache; a first build takes {ENOUGH_SPACE_MIB}"),
            mend,
        );
    }
    Item::good("space", format!("{mib} MiB free for the cache"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn can_read_meminfo() {
        assert_eq!(available_mib("MemTotal:  9 kB\nMemAvailable:   2097152 kB\n"), Some(2048));
    }

    #[test]
    fn cannot_read_something_else() {
        assert_eq!(available_mib("MemTotal:  9 kB\n"), None);
        assert_eq!(available_mib("MemAvailable:   many\n"), None);
    }
}
