//! Pictures of hosts, for tests: a folder with the files that a TDX host has.

use crate::host::Host;
use std::fs;
use std::os::unix::net::UnixListener;
use tempfile::TempDir;

/// A picture of a host, which disappears with this value.
pub(crate) struct Fake {
    root: TempDir,
}

impl Fake {
    /// A host that has all that is needed: four CPUs, module 1.5.05, P-SEAMLDR 1.5.00, no KVM.
    pub(crate) fn new() -> Self {
        let fake = Self { root: tempfile::tempdir().unwrap() };
        let cpu = "vendor_id : GenuineIntel\ncpu family : 6\nmodel : 143\nmodel name : Xeon\nstepping : 8\n\
                   flags : fpu tdx_host_platform\nbugs :\n";
        let config =
            "CONFIG_INTEL_TDX_HOST=y\nCONFIG_TDX_HOST_SERVICES=m\nCONFIG_FW_UPLOAD=y\nCONFIG_KPROBE_EVENTS=y\n";
        for (path, text) in [
            ("/proc/sys/kernel/osrelease", "7.3.4\n"),
            ("/proc/cpuinfo", cpu),
            ("/boot/config-7.3.4", config),
            ("/sys/devices/system/cpu/online", "0-3\n"),
            ("/sys/devices/system/cpu/present", "0-3\n"),
            ("/sys/devices/faux/tdx_host/version", "1.5.05\n"),
            ("/sys/devices/faux/tdx_host/seamldr_version", "1.5.00\n"),
            ("/sys/devices/faux/tdx_host/num_remaining_updates", "12\n"),
            ("/sys/class/firmware/tdx_module/status", "idle\n"),
            ("/sys/class/firmware/tdx_module/error", "\n"),
            ("/sys/class/firmware/tdx_module/loading", ""),
            ("/sys/class/firmware/tdx_module/data", ""),
            ("/sys/kernel/tracing/kprobe_events", ""),
            ("/dev/kmsg", ""),
        ] {
            fake.put(path, text);
        }
        fake
    }

    /// The host.
    pub(crate) fn host(&self) -> Host {
        Host::at(self.root.path())
    }

    /// Writes a file, with its folders.
    pub(crate) fn put(&self, path: &str, text: impl AsRef<[u8]>) {
        let path = self.host().path(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// Removes a file or a folder.
    pub(crate) fn remove(&self, path: &str) {
        let path = self.host().path(path);
        if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) }.unwrap();
    }

    /// From now on reading the module's version gives ENXIO, as opening a socket does.
    pub(crate) fn lose_module(&self) {
        let path = self.host().path("/sys/devices/faux/tdx_host/version");
        fs::remove_file(&path).unwrap();
        UnixListener::bind(path).unwrap();
    }
}
