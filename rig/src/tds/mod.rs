//! Trust domains that KVM runs in the guest: what runs in them, and what they must say in the end.
//!
//! Each vCPU runs a script of its own (see [`seam_emu::script`]) over pages of its own. In every round it hashes pages into
//! a chain, touches new private and shared memory, calls the monitor and sleeps until an interrupt. In the end it says how
//! many rounds it made, and its chain, which [`predict`] knows.

mod layout;
mod predict;
mod program;

pub use predict::{Saying, predict};

use crate::scenario::Tds;
use layout::Layout;
use rig_wire::td::{Churn, TdPage, TdPlan, VcpuPlan};

/// How often a TD's vCPUs are interrupted, microseconds.
const WAKE_US: u32 = 2000;
/// Rounds that a TD makes which is not asked to end.
pub const CHURN_ROUNDS: u64 = 3;
/// Seed of the TDs that churn: all alike.
const CHURN_SEED: u64 = u64::MAX;

/// The TDs that run through the updates; TD `n` has seed `n`.
pub fn plans(tds: &Tds) -> Vec<TdPlan> {
    (0..u64::from(tds.count)).map(|seed| plan(tds, seed, None)).collect()
}

/// TDs that are built, run and destroyed; none: until stopped.
pub fn churn(tds: &Tds, threads: u32, limit: Option<u32>) -> Churn {
    Churn { td: plan(tds, CHURN_SEED, Some(CHURN_ROUNDS)), threads, limit, abandon_every: tds.abandon_every }
}

/// What each vCPU of a TD of [`churn`] says.
pub fn churn_says(tds: &Tds) -> Vec<Vec<u64>> {
    (0..tds.vcpus).map(|vcpu| predict(CHURN_SEED, vcpu, CHURN_ROUNDS).words()).collect()
}

fn plan(tds: &Tds, seed: u64, rounds: Option<u64>) -> TdPlan {
    let layouts: Vec<_> = (0..tds.vcpus).map(Layout::of_vcpu).collect();
    let pages = |(layout, vcpu): (&Layout, u32)| {
        let script = program::script(*layout, rounds).to_pages();
        assert_eq!(script.len(), 4096, "a script fills one page");
        let data = layout::data_page(seed, vcpu).to_vec();
        [TdPage { gpa: layout.script(), bytes: script }, TdPage { gpa: layout.data(), bytes: data }]
    };
    TdPlan {
        pages: layouts.iter().zip(0..).flat_map(pages).collect(),
        vcpus: layouts.iter().map(|l| VcpuPlan { entry: l.script(), stop_word: l.stop_word() }).collect(),
        memory_pages: Layout::pages(tds.vcpus),
        placement: tds.placement,
        wake_us: WAKE_US,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_vcpu_has_pages_of_its_own() {
        let plans = plans(&Tds { count: 2, vcpus: 3, ..Tds::default() });
        assert_eq!(plans.len(), 2);
        let gpas: std::collections::BTreeSet<u64> = plans[0].pages.iter().map(|page| page.gpa).collect();
        assert_eq!((plans[0].pages.len(), gpas.len(), plans[0].vcpus.len()), (6, 6, 3));
        assert!(gpas.iter().all(|gpa| *gpa < plans[0].memory_pages * 4096));
        assert_ne!(plans[0].pages[1].bytes, plans[1].pages[1].bytes, "TDs differ in what they compute on");
    }
}
