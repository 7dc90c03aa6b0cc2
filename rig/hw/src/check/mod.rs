//! `rig hw check`: what a host needs for an update under observation, whether it has it, and what mends it.

use crate::facts::{Facts, Module, Tds};
use serde::Serialize;

/// How a condition stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Standing {
    /// As it must be.
    Good,
    /// Not so; updates are impossible, or would lose the module.
    Missing,
    /// Not so; updates are possible, but worse.
    Weak,
    /// The host does not say.
    Unknown,
}

/// One condition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Condition {
    /// What it is about.
    pub name: &'static str,
    /// How it stands.
    pub standing: Standing,
    /// What was found.
    pub seen: String,
    /// What mends it; empty when there is nothing to mend.
    pub remedy: String,
}

/// Linux that has the update (`arch/x86/virt/vmx/tdx/seamldr.c`); that 7.2 has all of it is unverified.
const RELEASE: (u32, u32) = (7, 2);
/// What the update and its observation are made of.
const OPTIONS: [&str; 4] =
    ["CONFIG_INTEL_TDX_HOST", "CONFIG_TDX_HOST_SERVICES", "CONFIG_FW_UPLOAD", "CONFIG_KPROBE_EVENTS"];

/// Every condition, in the order in which a person mends them.
pub fn conditions(facts: &Facts) -> Vec<Condition> {
    vec![
        root(facts),
        processor(facts),
        kernel(facts),
        config(facts),
        module(facts),
        erratum(facts),
        interface(facts),
        seamldr(facts),
        remaining(facts),
        cpus(facts),
        observation(facts),
        tds(facts),
    ]
}

/// Whether an update is possible.
pub fn is_ready(conditions: &[Condition]) -> bool {
    conditions.iter().all(|condition| condition.standing != Standing::Missing)
}

fn good(name: &'static str, seen: impl Into<String>) -> Condition {
    Condition { name, standing: Standing::Good, seen: seen.into(), remedy: String::new() }
}

fn missing(name: &'static str, seen: impl Into<String>, remedy: impl Into<String>) -> Condition {
    Condition { name, standing: Standing::Missing, seen: seen.into(), remedy: remedy.into() }
}

fn root(facts: &Facts) -> Condition {
    if facts.is_root {
        return good("root", "yes");
    }
    missing("root", "no: P-SEAMLDR's attributes and uploads are for root only", "start it with sudo")
}

fn processor(facts: &Facts) -> Condition {
    let name = "processor";
    match &facts.cpu {
        None => missing(name, "/proc/cpuinfo does not say", "mount /proc; this must be an x86-64 machine"),
        Some(cpu) if cpu.vendor != "GenuineIntel" => {
            missing(name, format!("{} ({})", cpu.vendor, cpu.name), "TDX exists on Intel Xeon processors only")
        }
        Some(cpu) if !cpu.is_tdx_host => missing(
            name,
            format!("{}, and the kernel found no SEAM (flag tdx_host_platform)", cpu.name),
            "enable TME-MT, TDX and SEAM Loader in the firmware setup, with TDX KeyIDs above 0",
        ),
        Some(cpu) => good(name, format!("{} (CPUID.1:EAX {:#x})", cpu.name, cpu.eax)),
    }
}

fn kernel(facts: &Facts) -> Condition {
    let name = "kernel";
    let Some(release) = &facts.release else {
        return missing(name, "/proc does not say its release", "mount /proc");
    };
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let version: (u32, u32) = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if version >= RELEASE {
        return good(name, release);
    }
    missing(name, format!("{release} cannot update the TDX module"), "boot Linux 7.2 or later")
}

fn config(facts: &Facts) -> Condition {
    let name = "configuration";
    let Some(config) = &facts.config else {
        let seen = "no configuration file was found (/boot/config-RELEASE)".into();
        let remedy = "nothing needs to be done: what matters is seen by what works".into();
        return Condition { name, standing: Standing::Unknown, seen, remedy };
    };
    let absent: Vec<&str> = OPTIONS.into_iter().filter(|option| !config.has(option)).collect();
    match absent[..] {
        [] => good(name, OPTIONS.join(" ")),
        ["CONFIG_KPROBE_EVENTS"] => Condition {
            standing: Standing::Weak,
            ..missing(name, "no CONFIG_KPROBE_EVENTS: updates cannot be observed", "build the kernel with it")
        },
        _ => missing(name, format!("no {}", absent.join(", no ")), "build the kernel with these options"),
    }
}

fn module(facts: &Facts) -> Condition {
    let name = "TDX module";
    match &facts.module {
        Module::Running(version) => good(name, version.to_string()),
        Module::Lost => missing(
            name,
            "lost: an update failed after the old module was gone (version reads ENXIO)",
            "reboot this machine; its trust domains are gone already",
        ),
        Module::NoDevice => missing(
            name,
            "the kernel has no TDX device (/sys/devices/faux/tdx_host)",
            "load the driver (modprobe tdx-host); if it answers ENODEV, the kernel's log (dmesg | grep -i tdx) says \
             why TDX did not come up",
        ),
        Module::Unreadable(why) => missing(name, format!("version cannot be read: {why}"), "read the kernel's log"),
    }
}

fn erratum(facts: &Facts) -> Condition {
    if !facts.cpu.as_ref().is_some_and(|cpu| cpu.has_erratum) {
        return good("erratum", "SEAMRET keeps the current VMCS");
    }
    missing(
        "erratum",
        "SEAMRET from P-SEAMLDR clears the current VMCS (seamret_invd_vmcs), so the kernel offers no updates",
        "update the BIOS and microcode; if IA32_VMX_BASIC bit 60 stays clear, this machine cannot be updated at \
             run time",
    )
}

fn interface(facts: &Facts) -> Condition {
    let name = "update interface";
    match (&facts.upload, facts.version()) {
        (Some(status), _) if status == "idle" => good(name, "idle"),
        (Some(status), _) => missing(name, format!("busy: {status}"), "wait for the other upload to end, or cancel it"),
        (None, None) => missing(name, "there is none without a TDX module", "mend the TDX module first"),
        (None, Some(version)) => missing(
            name,
            "there is none (/sys/class/firmware/tdx_module)",
            format!("module {version} or the processor cannot preserve TDs, or the kernel lacks CONFIG_FW_UPLOAD"),
        ),
    }
}

fn seamldr(facts: &Facts) -> Condition {
    match facts.seamldr {
        Some(version) => good("P-SEAMLDR", version.to_string()),
        None => missing(
            "P-SEAMLDR",
            "its version cannot be read",
            "be root; where the update interface is missing too, mend that first",
        ),
    }
}

fn remaining(facts: &Facts) -> Condition {
    let name = "remaining updates";
    match facts.remaining {
        None => missing(name, "their number cannot be read", "be root; mend the update interface first"),
        Some(0) => {
            missing(name, "0: the next update would lose the module", "reboot this machine before it is updated")
        }
        Some(1) => Condition {
            standing: Standing::Weak,
            ..missing(name, "1: the last one until the next boot", "plan a reboot; --last uses it up")
        },
        Some(n) => good(name, n.to_string()),
    }
}

fn cpus(facts: &Facts) -> Condition {
    let offline = facts.offline();
    if facts.online.is_empty() {
        return missing("CPUs", "the kernel does not say which are online", "mount /sys");
    }
    if offline.is_empty() {
        return good("CPUs", format!("{} present, all online", facts.present.len()));
    }
    let numbers: Vec<String> = offline.iter().map(ToString::to_string).collect();
    missing(
        "CPUs",
        format!("{} offline: an update would lose the module, for every CPU must install it", numbers.join(", ")),
        format!("for c in {}; do echo 1 > /sys/devices/system/cpu/cpu$c/online; done", numbers.join(" ")),
    )
}

fn observation(facts: &Facts) -> Condition {
    let name = "observation";
    let weak = |seen: &str, remedy: &str| Condition { standing: Standing::Weak, ..missing(name, seen, remedy) };
    match (facts.probes, facts.lockdown.as_deref()) {
        (_, Some("confidentiality")) => {
            weak("lockdown=confidentiality forbids probes", "boot with lockdown=integrity, or go without: --blind")
        }
        (true, _) => good(name, "kprobes"),
        (false, _) => weak(
            "no kprobe_events in tracefs",
            "mount -t tracefs tracefs /sys/kernel/tracing; the kernel needs CONFIG_KPROBE_EVENTS; or go without: --blind",
        ),
    }
}

fn tds(facts: &Facts) -> Condition {
    let name = "trust domains";
    match facts.tds {
        Tds::None => good(name, "none run"),
        tds => Condition {
            standing: Standing::Weak,
            ..missing(name, tds.to_string(), "move them away, or update beneath them: --with-tds")
        },
    }
}

#[cfg(test)]
mod tests;
