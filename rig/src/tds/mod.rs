//! Trust domains that KVM runs in the guest: what runs in them, and what they must say in the end.
//!
//! Each vCPU runs a script of its own (see [`seam_emu::script`]), or a program of machine code that does the same
//! (`rig/guest-td`), over pages of its own. In every round it hashes pages into
//! a chain, touches new private and shared memory, calls the monitor and sleeps until an interrupt. In the end it says how
//! many rounds it made, and its chain, which [`predict`] knows.

mod code;
mod layout;
mod predict;
mod program;

pub use predict::{Saying, predict};

use crate::scenario::{TdGuest, Tds};
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
    (0..tds.vcpus).map(|vcpu| words(tds.guest, &predict(CHURN_SEED, vcpu, CHURN_ROUNDS))).collect()
}

/// What is wrong with what a vCPU of TD `td` said; none if it said what it must. It says itself how many rounds it made.
pub fn wrong(guest: TdGuest, (td, vcpu): (u64, u32), said: &[u64]) -> Option<String> {
    let name = format!("vCPU {vcpu} of TD {td}");
    let Some(rounds) = said.first().filter(|rounds| **rounds > 0) else {
        return Some(format!("{name} made no round"));
    };
    let predicted = predict(td, vcpu, *rounds);
    if said == words(guest, &predicted) {
        return None;
    }
    match (guest, said.split_last()) {
        (TdGuest::Code, Some((checks, chain))) if chain == predicted.words() => {
            code::unmet(*checks).map(|checks| format!("{name} found wrong: {checks}"))
        }
        _ => Some(format!("{name} has another after {rounds} rounds")),
    }
}

/// A saying's words, and the program's checks.
fn words(guest: TdGuest, saying: &Saying) -> Vec<u64> {
    let checks = (guest == TdGuest::Code).then_some(code::ALL_MET);
    saying.words().into_iter().chain(checks).collect()
}

fn plan(tds: &Tds, seed: u64, rounds: Option<u64>) -> TdPlan {
    let layouts: Vec<_> = (0..tds.vcpus).map(Layout::of_vcpu).collect();
    let program = if tds.guest == TdGuest::Code { code::pages() } else { Vec::new() };
    let memory_pages = Layout::pages(tds.vcpus).max(Layout::pages_with(&program));
    let parts = layouts.iter().zip(0..).flat_map(|(layout, vcpu)| {
        let data = TdPage { gpa: layout.data(), bytes: layout::data_page(seed, vcpu).to_vec() };
        first_pages(tds.guest, *layout, rounds).into_iter().chain([data])
    });
    TdPlan {
        pages: parts.chain(program).collect(),
        vcpus: layouts.iter().map(|l| VcpuPlan { entry: l.script(), stop_word: l.stop_word() }).collect(),
        memory_pages,
        placement: tds.placement,
        wake_us: WAKE_US,
    }
}

/// What a vCPU begins with besides its data.
fn first_pages(guest: TdGuest, layout: Layout, rounds: Option<u64>) -> Vec<TdPage> {
    match guest {
        TdGuest::Script => {
            let bytes = program::script(layout, rounds).to_pages();
            assert_eq!(bytes.len(), 4096, "a script fills one page");
            vec![TdPage { gpa: layout.script(), bytes }]
        }
        TdGuest::Code => {
            let mut bytes = vec![0; 4096];
            bytes[..8].copy_from_slice(&rounds.unwrap_or(0).to_le_bytes());
            let stack = layout.stack().map(|gpa| TdPage { gpa, bytes: vec![0; 4096] });
            [TdPage { gpa: layout.script(), bytes }].into_iter().chain(stack).collect()
        }
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

    #[test]
    fn machine_code_lies_beside_the_parts_of_its_vcpus() {
        let plan = &plans(&Tds { vcpus: 64, guest: TdGuest::Code, ..Tds::default() })[0];
        let gpas: std::collections::BTreeSet<u64> = plan.pages.iter().map(|page| page.gpa).collect();
        assert_eq!(gpas.len(), plan.pages.len(), "no page is there twice");
        assert!(gpas.iter().all(|gpa| *gpa < plan.memory_pages * 4096 || *gpa == rig_wire::td::RESET_PAGE));
    }

    #[test]
    fn what_a_vcpu_says_is_held_against_the_prediction() {
        let said = |guest, rounds| words(guest, &predict(2, 1, rounds));
        for guest in [TdGuest::Script, TdGuest::Code] {
            assert_eq!(wrong(guest, (2, 1), &said(guest, 3)), None);
            assert!(wrong(guest, (1, 1), &said(guest, 3)).unwrap().contains("vCPU 1 of TD 1 has another"));
            assert!(wrong(guest, (2, 1), &said(guest, 0)).unwrap().contains("no round"));
            assert!(wrong(guest, (2, 1), &[]).unwrap().contains("no round"));
        }
        let mut checked = said(TdGuest::Code, 3);
        *checked.last_mut().unwrap() &= !2;
        assert_eq!(
            wrong(TdGuest::Code, (2, 1), &checked).as_deref(),
            Some("vCPU 1 of TD 2 found wrong: CPUID of the module")
        );
        assert!(wrong(TdGuest::Code, (2, 1), &said(TdGuest::Script, 3)).is_some(), "without checks");
        assert!(wrong(TdGuest::Script, (2, 1), &said(TdGuest::Code, 3)).is_some(), "with words that nobody knows");
    }
}
