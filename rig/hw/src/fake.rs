//! Pictures of hosts, for tests: a folder with the files that a TDX host has, and a kernel that answers to changes.

use crate::cpus;
use crate::host::{Host, Kernel};
use std::collections::HashMap;
use std::fmt;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use tempfile::TempDir;

const CPUS: &str = "/sys/devices/system/cpu";
const VERSION: &str = "/sys/devices/faux/tdx_host/version";
const EBUSY: i32 = 16;

/// A picture of a host, which disappears with this value.
pub(crate) struct Fake {
    root: TempDir,
    kernel: Arc<FakeKernel>,
}

/// What happens when an update begins.
type Update = Box<dyn FnMut(u32) + Send>;

/// A kernel that does to the picture what Linux does: CPUs, lists of probes, tracing instances.
#[derive(Default)]
struct FakeKernel {
    root: PathBuf,
    /// For a file and a text: so many writes go through, and then so many fail with EBUSY.
    failures: Mutex<HashMap<(PathBuf, String), (u32, u32)>>,
    /// Updates that were begun.
    begun: Mutex<u32>,
    update: Mutex<Option<Update>>,
}

impl Fake {
    /// A host that has all that is needed: four CPUs, module 1.5.05, P-SEAMLDR 1.5.00, no KVM.
    pub(crate) fn new() -> Self {
        let root = tempfile::tempdir().unwrap();
        let kernel = Arc::new(FakeKernel { root: root.path().into(), ..FakeKernel::default() });
        let fake = Self { root, kernel };
        let cpu = "vendor_id : GenuineIntel\ncpu family : 6\nmodel : 143\nmodel name : Xeon\nstepping : 8\n\
                   flags : fpu tdx_host_platform\nbugs :\n";
        let config =
            "CONFIG_INTEL_TDX_HOST=y\nCONFIG_TDX_HOST_SERVICES=m\nCONFIG_FW_UPLOAD=y\nCONFIG_KPROBE_EVENTS=y\n";
        for (path, text) in [
            ("/proc/sys/kernel/osrelease", "7.3.4\n"),
            ("/proc/cpuinfo", cpu),
            ("/proc/self/mounts", ""),
            ("/boot/config-7.3.4", config),
            ("/sys/devices/system/cpu/online", "0-3\n"),
            ("/sys/devices/system/cpu/present", "0-3\n"),
            ("/sys/devices/system/cpu/cpu1/online", "1\n"),
            ("/sys/devices/system/cpu/cpu2/online", "1\n"),
            ("/sys/devices/system/cpu/cpu3/online", "1\n"),
            (VERSION, "1.5.05\n"),
            ("/sys/devices/faux/tdx_host/seamldr_version", "1.5.00\n"),
            ("/sys/devices/faux/tdx_host/num_remaining_updates", "12\n"),
            ("/sys/class/firmware/tdx_module/status", "idle\n"),
            ("/sys/class/firmware/tdx_module/error", "\n"),
            ("/sys/class/firmware/tdx_module/loading", ""),
            ("/sys/class/firmware/tdx_module/data", ""),
            ("/sys/kernel/tracing/kprobe_events", ""),
            ("/sys/kernel/tracing/kprobe_profile", ""),
            ("/sys/kernel/tracing/instances/README", ""),
            ("/dev/kmsg", ""),
        ] {
            fake.put(path, text);
        }
        fake
    }

    /// The host.
    pub(crate) fn host(&self) -> Host {
        Host::at(self.root.path()).with(Arc::clone(&self.kernel) as Arc<dyn Kernel>)
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
        lose_module(self.root.path());
    }

    /// When this text is written to this file, it goes well so often, and then fails so often with EBUSY.
    pub(crate) fn fail(&self, path: &str, text: &str, goes_well: u32, fails: u32) {
        let key = (self.host().path(path), text.to_owned());
        self.kernel.failures.lock().unwrap().insert(key, (goes_well, fails));
    }

    /// What the kernel does when an update begins, with the number of the update, from 1.
    pub(crate) fn on_update(&self, update: impl FnMut(u32) + Send + 'static) {
        *self.kernel.update.lock().unwrap() = Some(Box::new(update));
    }

    /// Updates that were begun.
    pub(crate) fn begun(&self) -> u32 {
        *self.kernel.begun.lock().unwrap()
    }

    /// The symbols that can be probed, without those that show the state machine.
    pub(crate) fn put_symbols(&self) {
        let names = ["do_seamldr_install_module", "multi_cpu_stop", "set_cpu_online", "__seamcall", "__seamcall_ret"];
        let symbols = names.iter().enumerate().map(|(n, name)| format!("{}0 t {name}\n", n + 1));
        self.put("/proc/kallsyms", symbols.collect::<String>());
    }
}

/// As [`Fake::lose_module`], for a closure that has the folder only.
pub(crate) fn lose_module(root: &Path) {
    let path = root.join(VERSION.trim_start_matches('/'));
    fs::remove_file(&path).unwrap();
    UnixListener::bind(path).unwrap();
}

impl Kernel for FakeKernel {
    fn write(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.may_fail(path, &String::from_utf8_lossy(bytes))?;
        let in_instance = path.parent().is_some_and(Path::exists) && path.to_string_lossy().contains("/instances/");
        if !path.exists() && !in_instance {
            return Err(io::ErrorKind::NotFound.into());
        }
        fs::write(path, bytes)?;
        if path.starts_with(self.path(CPUS)) {
            self.list_cpus();
        }
        if path.ends_with("tdx_module/loading") && bytes == b"0" {
            let mut begun = self.begun.lock().unwrap();
            *begun += 1;
            self.update.lock().unwrap().iter_mut().for_each(|update| update(*begun));
        }
        Ok(())
    }

    fn append(&self, path: &Path, text: &str) -> io::Result<()> {
        self.may_fail(path, text.trim_end())?;
        if path.ends_with("dev/kmsg") {
            return OpenOptions::new().append(true).open(path)?.write_all(format!("6,1,1,-;{text}").as_bytes());
        }
        let mut lines = fs::read_to_string(path)?;
        match text.strip_prefix("-:").filter(|_| path.ends_with("kprobe_events")) {
            None => lines += text,
            Some(name) => {
                let name = format!(":{} ", name.trim_end());
                lines = lines.split_inclusive('\n').filter(|line| !line.contains(&name)).collect();
            }
        }
        fs::write(path, lines)
    }

    fn make_folder(&self, path: &Path) -> io::Result<()> {
        self.may_fail(path, "mkdir")?;
        fs::create_dir(path)?;
        for folder in ["options", "events/seamrig", "per_cpu/cpu0"] {
            fs::create_dir_all(path.join(folder))?;
        }
        fs::write(path.join("per_cpu/cpu0/stats"), "overrun: 0\ndropped events: 0\n")
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        self.may_fail(path, "rmdir")?;
        fs::remove_dir_all(path)
    }
}

impl FakeKernel {
    fn path(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    fn may_fail(&self, path: &Path, text: &str) -> io::Result<()> {
        let mut failures = self.failures.lock().unwrap();
        match failures.get_mut(&(path.to_owned(), text.to_owned())) {
            Some((0, fails @ 1..)) => *fails -= 1,
            Some((goes_well @ 1.., _)) => {
                *goes_well -= 1;
                return Ok(());
            }
            _ => return Ok(()),
        }
        Err(io::Error::from_raw_os_error(EBUSY))
    }

    /// `online` follows what was done to each CPU.
    fn list_cpus(&self) {
        let present = cpus::parse(&fs::read_to_string(self.path(&format!("{CPUS}/present"))).unwrap()).unwrap();
        let is_online = |cpu: &u16| {
            let text = fs::read_to_string(self.path(&format!("{CPUS}/cpu{cpu}/online")));
            text.map_or(true, |text| text.trim() == "1")
        };
        let online: Vec<u16> = present.into_iter().filter(is_online).collect();
        let list = if online == [0, 1, 2, 3] {
            "0-3".to_owned()
        } else {
            online.iter().map(ToString::to_string).collect::<Vec<_>>().join(",")
        };
        fs::write(self.path(&format!("{CPUS}/online")), list).unwrap();
    }
}

impl fmt::Debug for FakeKernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FakeKernel").field("root", &self.root).finish_non_exhaustive()
    }
}
