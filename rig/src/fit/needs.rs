//! What the rig wants of a kernel's configuration, and why.

use crate::doctor::{Item, State};
use rig_images::KernelConfig;

/// An option that is to be built in or a module.
struct Need {
    option: &'static str,
    /// How a kernel stands without it.
    without: State,
    /// What needs it.
    why: &'static str,
}

const fn vital(option: &'static str, why: &'static str) -> Need {
    Need { option, without: State::Missing, why }
}

const fn some(option: &'static str, why: &'static str) -> Need {
    Need { option, without: State::Note, why }
}

const NEEDS: [Need; 28] = [
    vital("CONFIG_INTEL_TDX_HOST", "it is the code under test"),
    vital("CONFIG_TDX_HOST_SERVICES", "the driver tdx-host offers the update"),
    vital("CONFIG_FW_UPLOAD", "the update's image is uploaded through it"),
    vital("CONFIG_64BIT", "a TDX host has 64 bits"),
    vital("CONFIG_SMP", "an update is a matter of many CPUs"),
    vital("CONFIG_ACPI", "the machine describes its CPUs by it"),
    vital("CONFIG_PCI", "the agent's port is a PCI device"),
    vital("CONFIG_VIRTIO_PCI", "the agent's port is a PCI device"),
    vital("CONFIG_VIRTIO_CONSOLE", "the agent speaks to the rig through a port of it"),
    vital("CONFIG_BLK_DEV_INITRD", "the agent comes in an initramfs"),
    vital("CONFIG_BINFMT_ELF", "the agent is an ELF program"),
    vital("CONFIG_DEVTMPFS", "the agent opens devices"),
    vital("CONFIG_PROC_FS", "the agent reads it"),
    vital("CONFIG_SYSFS", "the update's files are there"),
    vital("CONFIG_FUTEX", "the agent has threads"),
    vital("CONFIG_PRINTK", "the kernel's log is judged"),
    some("CONFIG_SERIAL_8250_CONSOLE", "the last words of a kernel that panics are read from the serial console"),
    some("CONFIG_HOTPLUG_CPU", "scenarios take CPUs offline"),
    some("CONFIG_KVM_INTEL", "scenarios with `tds` run trust domains through KVM"),
    some("CONFIG_MODULES", "some loads, and the subject `kmod`, are modules"),
    some("CONFIG_TMPFS", "clients and loads write files"),
    some("CONFIG_KPROBE_EVENTS", "the load `text-patching`, and rehearsals of `rig hw`, set probes"),
    some("CONFIG_JUMP_LABEL", "the load `text-patching` has text to patch"),
    some("CONFIG_IRQ_REMAP", "x2APIC with interrupt remapping boots sooner from 16 CPUs on; above 255 it is needed"),
    some("CONFIG_KALLSYMS", "the kernel's reports name functions by it"),
    some("CONFIG_SOFTLOCKUP_DETECTOR", "`quiet-kernel` judges the lockups that it reports"),
    some("CONFIG_DETECT_HUNG_TASK", "`quiet-kernel` judges the hung tasks that it reports"),
    some("CONFIG_PVH", "a kernel with this entry starts sooner, from its ELF file"),
];

/// What would make a kernel refuse the rig's modules.
const FORCED_SIGNATURES: &str = "CONFIG_MODULE_SIG_FORCE";

/// How a configuration meets them: an item for each that it does not, or one for all.
pub(super) fn items(config: &KernelConfig, cpus: u32) -> Vec<Item> {
    let lacking = NEEDS.iter().filter(|need| !config.has(need.option));
    let line = |need: &Need| Item {
        name: need.option,
        state: need.without,
        found: format!("not set, but {}", need.why),
        mend: Some(format!("set {} (`rig kernel config` does) and build again", need.option)),
    };
    let mut items: Vec<Item> = lacking.map(line).collect();
    let met = NEEDS.len() - items.len();
    items.extend(cpu_limit(config, cpus));
    if config.has(FORCED_SIGNATURES) {
        let found = "the kernel refuses the rig's modules, which nobody signed";
        items.push(Item::note(FORCED_SIGNATURES, found, "unset it, or do without the scenarios that need a module"));
    }
    if items.iter().all(|item| item.state != State::Missing) {
        let found = format!("{met} of {} options that the rig wants, and all without which it cannot run", NEEDS.len());
        items.insert(0, Item::good("configuration", found));
    }
    items
}

/// `CONFIG_NR_CPUS`, which only a kernel for several CPUs has.
fn cpu_limit(config: &KernelConfig, cpus: u32) -> Option<Item> {
    let name = "CONFIG_NR_CPUS";
    let limit: u32 = config.value(name)?.parse().ok()?;
    let mend = |most: u32| format!("set {name}={most} (`rig kernel config` does) and build again");
    if limit < cpus {
        let found = format!("{limit}, but a scenario has {cpus} CPUs where it names no number");
        return Some(Item::missing(name, found, mend(512)));
    }
    let found = format!("{limit}: scenarios with more CPUs are refused");
    (limit < 64).then(|| Item::note(name, found, mend(512)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rig_images::KernelRequest;

    /// The configuration that the rig's own fragments ask for, without this option.
    fn config(without: &str) -> KernelConfig {
        let fragments = KernelRequest::default().profile;
        let lines = fragments.iter().flat_map(|fragment| fragment.text.lines());
        let kept: Vec<&str> = lines.filter(|line| !line.starts_with(&format!("{without}="))).collect();
        KernelConfig::parse(&kept.join("\n"))
    }

    #[test]
    fn the_rigs_own_configuration_lacks_nothing() {
        let items = items(&config("none"), 4);
        assert!(items.iter().all(|item| item.state == State::Good), "{items:?}");
    }

    #[test]
    fn each_option_that_is_not_there_is_named_with_its_reason() {
        for need in &NEEDS {
            let items = items(&config(need.option), 4);
            let item = items.iter().find(|item| item.name == need.option).expect(need.option);
            assert_eq!(item.state, need.without);
            assert!(item.found.ends_with(need.why) && item.mend.is_some(), "{item:?}");
        }
    }

    #[test]
    fn too_few_cpus_are_named_with_how_many_it_takes() {
        let limit = |text: &str| cpu_limit(&KernelConfig::parse(text), 4).map(|item| (item.state, item.found));
        let (state, found) = limit("CONFIG_NR_CPUS=2").unwrap();
        assert!(state == State::Missing && found.starts_with("2, but a scenario has 4 CPUs"), "{found}");
        assert_eq!(limit("CONFIG_NR_CPUS=8").unwrap().0, State::Note);
        assert_eq!(limit("CONFIG_NR_CPUS=8192"), None);
        assert_eq!(limit("CONFIG_SMP=y"), None);
    }
}
