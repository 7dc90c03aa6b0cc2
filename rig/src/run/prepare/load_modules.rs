//! What a scenario's loads need in the guest before the run.

use crate::scenario::{Scenario, Subject};
use rig_wire::agent::Load;

/// Kernel modules of the rig's own that the loads need.
pub(crate) fn modules(loads: &[Load]) -> Vec<&'static str> {
    let needed = |load: &Load| match load {
        Load::Seamcall { .. } => Some("tdx_load"),
        Load::TrustDomain { .. } | Load::ModuleLoop { .. } => Some("tdx_raw"),
        _ => None,
    };
    let mut names: Vec<_> = loads.iter().filter_map(needed).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// Whether a scenario needs any kernel module of the rig's own.
pub(crate) fn needs_own_modules(scenario: &Scenario) -> bool {
    scenario.subject == Subject::Kmod || !modules(&scenario.load).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::load;

    #[test]
    fn loads_that_make_seamcalls_need_a_module() {
        assert_eq!(modules(&[load("profile = \"seamcall\"\nipi_hz = 0")]), ["tdx_load"]);
        assert_eq!(modules(&[load("profile = \"trust-domain\"\ntds = 2\nvcpus = 3")]), ["tdx_raw"]);
    }
}
