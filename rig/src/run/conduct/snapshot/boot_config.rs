//! What of the firmware's configuration shows in a boot, and what in updates only.

use rig_judge::timeline::Leaf;
use seam_emu::{Config, Durations};

/// Leaves that no Linux calls before an update. Faults of these alone leave the boot as it is, so that one snapshot
/// serves them all; that the boot did not call them is checked when it is made.
pub(crate) const ONLY_IN_UPDATES: [(Leaf, &str); 3] =
    [(Leaf::INSTALL, "SEAMLDR.INSTALL"), (Leaf::SHUTDOWN, "TDH.SYS.SHUTDOWN"), (Leaf::UPDATE, "TDH.SYS.UPDATE")];

/// The firmware's configuration while the guest boots.
pub(crate) fn boot_config(config: &Config) -> Config {
    let at_boot = |leaf: &str| ONLY_IN_UPDATES.iter().all(|(_, name)| *name != leaf);
    let strikes_at_boot = config.faults.iter().any(|fault| at_boot(&fault.leaf));
    let faults = if strikes_at_boot { config.faults.clone() } else { Vec::new() };
    let lasting = config.durations.leaf_ns.iter().filter(|(leaf, _)| at_boot(leaf));
    let durations = Durations { leaf_ns: lasting.map(|(k, v)| (k.clone(), *v)).collect(), ..config.durations.clone() };
    Config { faults, durations, ..config.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(fault_leaf: &str) -> Config {
        let fault = toml::from_str(&format!("leaf = \"{fault_leaf}\"\naction = \"vm-fail-invalid\"")).unwrap();
        Config { faults: vec![fault], ..Config::for_lps(4) }
    }

    #[test]
    fn faults_of_updates_share_the_snapshot_of_none() {
        assert_eq!(boot_config(&config("SEAMLDR.INSTALL")), Config::for_lps(4));
        assert_ne!(boot_config(&config("TDH.SYS.LP.INIT")), Config::for_lps(4));
    }

    #[test]
    fn durations_of_updates_share_it_too() {
        let mut slow = Config::for_lps(4);
        slow.durations.leaf_ns.insert("SEAMLDR.INSTALL".into(), 7);
        assert_eq!(boot_config(&slow), Config::for_lps(4));
        slow.durations.leaf_ns.insert("TDH.SYS.LP.INIT".into(), 7);
        assert_eq!(boot_config(&slow).durations.leaf_ns.len(), 1);
    }
}
