//! What became of the trust domains that KVM ran in the guest.

use rig_judge::verdict::LoadReport;
use rig_wire::td::{ChurnReport, TdReport, Usage, VcpuReport};

/// Reports of the trust domains.
#[derive(Debug, Default)]
pub(crate) struct TdReports {
    /// Why not all that were to run through the updates could be built.
    pub(crate) not_built: Option<String>,
    /// Those that were to run through the updates.
    pub(crate) long_lived: Vec<TdReport>,
    /// Those that came and went meanwhile.
    pub(crate) churn: Option<ChurnReport>,
    /// Those that came and went before the cycles, so that the guest's caches are filled.
    pub(crate) warm_up: Option<ChurnReport>,
    /// Those that came and went after the last update.
    pub(crate) cycles: Option<ChurnReport>,
    /// What the emulator counts when all are gone, or why it does not say.
    pub(crate) usage: Option<Result<Usage, String>>,
    /// Free memory of the guest before and after the cycles, KiB; none: the guest does not say.
    pub(crate) free_kib: Option<(Option<u64>, Option<u64>)>,
}

impl TdReports {
    /// How much they did.
    pub(crate) fn loads(&self) -> Vec<LoadReport> {
        let vcpus = || self.long_lived.iter().flat_map(|td| &td.vcpus);
        let sum = |count: fn(&VcpuReport) -> u64| vcpus().map(count).sum();
        let lived = [
            ("rounds", sum(|vcpu| vcpu.said.first().copied().unwrap_or(0))),
            ("map_gpa", sum(|vcpu| vcpu.exits.map_gpa)),
            ("io", sum(|vcpu| vcpu.exits.io)),
            ("wakes", sum(|vcpu| vcpu.wakes)),
            ("moves", sum(|vcpu| vcpu.moves)),
        ];
        let lived = (!self.long_lived.is_empty()).then(|| load("kvm-tds", lived));
        let churned = [("kvm-td-churn", &self.churn), ("kvm-td-cycles", &self.cycles)];
        let churned = churned.into_iter().filter_map(|(name, churn)| {
            let churn = churn.as_ref()?;
            let refused = churn.refused.iter().map(|(_, times)| times).sum();
            Some(load(name, [("completed", churn.completed), ("abandoned", churn.abandoned), ("refused", refused)]))
        });
        lived.into_iter().chain(churned).collect()
    }
}

fn load<const N: usize>(name: &str, counts: [(&str, u64); N]) -> LoadReport {
    LoadReport { name: name.into(), counts: counts.into_iter().map(|(name, n)| (name.to_owned(), n)).collect() }
}
