//! Facts about the host, as its files say.
//!
//! Sources: Linux 7.3's `drivers/virt/coco/tdx-host/tdx-host.c` and `Documentation/ABI/testing/sysfs-devices-faux-tdx-host`.

mod config;
mod cpu;
mod tds;

pub use config::KernelConfig;
pub use cpu::Cpu;
pub use tds::Tds;
pub(crate) use tds::kvm_has_tdx;

use crate::cpus;
use crate::host::Host;
use crate::tracefs::Tracefs;
use crate::version::Version;
use std::io;

/// The device through which the kernel describes the firmware.
pub const DEVICE: &str = "/sys/devices/faux/tdx_host";
/// The upload device for module images.
pub const UPLOAD: &str = "/sys/class/firmware/tdx_module";

/// The TDX module, as the kernel reports it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Module {
    /// It runs.
    Running(Version),
    /// `version` reads ENXIO: an update failed after the old module was gone.
    Lost,
    /// The kernel has no TDX device.
    NoDevice,
    /// `version` cannot be read, or holds no version.
    Unreadable(String),
}

/// All that is looked at.
#[derive(Clone, Debug)]
pub struct Facts {
    /// Whether this process is root; pictures of hosts always are.
    pub is_root: bool,
    /// `uname -r`.
    pub release: Option<String>,
    /// The processor.
    pub cpu: Option<Cpu>,
    /// The TDX module.
    pub module: Module,
    /// P-SEAMLDR's version; the kernel hides it where it offers no updates.
    pub seamldr: Option<Version>,
    /// Updates that are left until the next boot.
    pub remaining: Option<u32>,
    /// `status` of the upload device, where there is one.
    pub upload: Option<String>,
    /// CPUs that are online.
    pub online: Vec<u16>,
    /// CPUs that the machine has.
    pub present: Vec<u16>,
    /// The kernel's configuration, where a file has it.
    pub config: Option<KernelConfig>,
    /// Trust domains that run.
    pub tds: Tds,
    /// The kernel's lockdown mode, where it has one: `none`, `integrity` or `confidentiality`.
    pub lockdown: Option<String>,
    /// Whether functions of the kernel can be probed (`kprobe_events`).
    pub probes: bool,
}

impl Facts {
    /// Looks at a host.
    pub fn of(host: &Host) -> Self {
        let release = host.text("/proc/sys/kernel/osrelease");
        let list = |name: &str| {
            let text = host.text(&format!("/sys/devices/system/cpu/{name}")).unwrap_or_default();
            cpus::parse(&text).unwrap_or_default()
        };
        let attribute = |name: &str| host.text(&format!("{DEVICE}/{name}"));
        Self {
            is_root: !host.is_real() || nix::unistd::geteuid().is_root(),
            cpu: host.text("/proc/cpuinfo").and_then(|text| Cpu::parse(&text)),
            module: module(host),
            seamldr: attribute("seamldr_version").and_then(|text| text.parse().ok()),
            remaining: attribute("num_remaining_updates").and_then(|text| text.parse().ok()),
            upload: host.text(&format!("{UPLOAD}/status")),
            online: list("online"),
            present: list("present"),
            config: release.as_deref().and_then(|release| KernelConfig::find(host, release)),
            tds: Tds::find(host),
            lockdown: host.text("/sys/kernel/security/lockdown").and_then(|text| chosen(&text)),
            probes: Tracefs::find(host).is_some(),
            release,
        }
    }

    /// The running module, if one runs.
    pub fn version(&self) -> Option<Version> {
        if let Module::Running(version) = self.module { Some(version) } else { None }
    }

    /// CPUs that are present but not online.
    pub fn offline(&self) -> Vec<u16> {
        self.present.iter().copied().filter(|cpu| !self.online.contains(cpu)).collect()
    }
}

/// The TDX module of a host.
pub fn module(host: &Host) -> Module {
    if !host.has(DEVICE) {
        return Module::NoDevice;
    }
    match host.read(&format!("{DEVICE}/version")) {
        Ok(text) => text.parse().map_or_else(|_| Module::Unreadable(format!("it says {text:?}")), Module::Running),
        Err(error) if is_lost(&error) => Module::Lost,
        Err(error) => Module::Unreadable(error.to_string()),
    }
}

fn is_lost(error: &io::Error) -> bool {
    error.raw_os_error() == Some(nix::errno::Errno::ENXIO as i32)
}

/// The word in brackets: `none [integrity] confidentiality`.
fn chosen(text: &str) -> Option<String> {
    Some(text.split_once('[')?.1.split_once(']')?.0.to_owned())
}
