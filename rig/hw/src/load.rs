//! Loads beside the updates, by name, sized for the host.

use crate::facts::{DEVICE, Facts};
use crate::trouble::Trouble;
use rig_wire::agent::Load;

/// Every name, and what it does.
pub const PROFILES: [(&str, &str); 6] = [
    ("reader", "threads that read version, seamldr_version and num_remaining_updates"),
    ("cpu-hog", "a thread for each CPU that computes and never sleeps"),
    ("page-fault", "threads that map, touch and unmap memory"),
    ("timer", "timers on each CPU"),
    ("clocksource", "switches the kernel's clock source, each time through stop_machine"),
    ("hotplug", "takes CPUs offline and online between updates"),
];

/// The load of this name.
pub(crate) fn profile(name: &str, facts: &Facts) -> Result<Load, Trouble> {
    let cpus = facts.online.len().max(1) as u32;
    let paths = ["version", "seamldr_version", "num_remaining_updates"].map(|name| format!("{DEVICE}/{name}")).into();
    Ok(match name {
        "reader" => Load::Reader { paths, threads: 1, only: Vec::new() },
        "cpu-hog" => Load::CpuHog { threads: cpus },
        "page-fault" => Load::PageFault { threads: cpus.div_ceil(2), kib: 1024 },
        "timer" => Load::Timer { period_us: 1000 },
        "clocksource" => Load::Clocksource { pause_ms: 50 },
        "hotplug" => Load::Hotplug { pause_ms: 50, between_updates: true },
        _ => {
            let names: Vec<&str> = PROFILES.iter().map(|(name, _)| *name).collect();
            let help = format!("choose of {}, separated by commas", names.join(", "));
            return Err(Trouble::usage(format!("there is no load {name:?}"), help));
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::Fake;

    #[test]
    fn every_name_is_a_load() {
        let facts = Facts::of(&Fake::new().host());
        for (name, _) in PROFILES {
            assert!(profile(name, &facts).is_ok(), "{name}");
        }
        assert_eq!(profile("cpu-hog", &facts).unwrap(), Load::CpuHog { threads: 4 });
        assert!(profile("none", &facts).unwrap_err().help.contains("cpu-hog"));
    }
}
