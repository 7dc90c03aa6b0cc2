//! Loads beside the updates, by name, sized for the host.

use crate::facts::{DEVICE, Facts};
use crate::host::Host;
use crate::restore::Undo;
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

/// The kernel's clock source, which the load of that name switches.
const CLOCKSOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";

/// The way back from what a load changes, if it changes anything that outlives it.
pub(crate) fn undo(load: &Load, host: &Host, facts: &Facts) -> Result<Option<Undo>, Trouble> {
    Ok(match load {
        Load::Hotplug { .. } => Some(Undo::Online { cpus: facts.online.clone() }),
        Load::Clocksource { .. } => {
            let value = host.read(CLOCKSOURCE).map_err(|e| Trouble::file("read", &host.path(CLOCKSOURCE), &e))?;
            Some(Undo::Setting { path: CLOCKSOURCE.into(), value })
        }
        _ => None,
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

    /// What a load changes is put back even if the load cannot do it.
    #[test]
    fn loads_that_change_the_host_have_a_way_back() {
        let fake = Fake::new();
        let (host, facts) = (fake.host(), Facts::of(&fake.host()));
        let undo_of = |name: &str| undo(&profile(name, &facts).unwrap(), &host, &facts);
        assert_eq!(undo_of("hotplug"), Ok(Some(Undo::Online { cpus: vec![0, 1, 2, 3] })));
        assert!(undo_of("clocksource").is_err(), "what cannot be read cannot be put back");
        fake.put(CLOCKSOURCE, "tsc\n");
        assert_eq!(undo_of("clocksource"), Ok(Some(Undo::Setting { path: CLOCKSOURCE.into(), value: "tsc".into() })));
        for name in ["reader", "cpu-hog", "page-fault", "timer"] {
            assert_eq!(undo_of(name), Ok(None), "{name}");
        }
    }
}
