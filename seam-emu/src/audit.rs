//! Consistency of the firmware's state: what must hold between any two calls.

use crate::Firmware;
use crate::inflight::InFlight;
use crate::module::td::measure::NO_CONTEXT;
use crate::module::td::sept::{EntryState, span};
use crate::module::td::{Lifecycle, OpState, Td};
use crate::module::{KeyState, Module, PageType, PamtEntry, Protected};
use std::collections::BTreeSet;

impl Firmware {
    /// What is inconsistent in the state, one line each; empty unless this crate has a mistake or a fault of the plan
    /// spoiled a TD.
    pub fn audit(&self) -> Vec<String> {
        let world = &self.state.world;
        let mut found = Vec::new();
        audit_pages(&world.protected, &mut found);
        if let Some(module) = &world.module
            && module.state as u64 >= 3
        {
            audit_keys(module, &world.protected, &mut found);
        }
        for held in self.state.locks.held() {
            if !self.state.calls[held.lp].inside().is_some_and(InFlight::is_inside) {
                found.push(format!("LP {} holds {:?} outside SEAM", held.lp, held.id));
            }
        }
        found
    }

    /// Number of TDs, of 4 KB pages that are theirs and of their KeyIDs that are not free.
    pub fn td_usage(&self) -> (usize, usize, usize) {
        let protected = &self.state.world.protected;
        let in_use = |key: &&KeyState| !matches!(key, KeyState::Free | KeyState::Reserved);
        let keyids = self.state.world.module.as_ref().map_or(0, |module| module.kot.iter().filter(in_use).count());
        let pages = protected.pamt.values().map(PamtEntry::pages).sum::<u64>();
        (protected.tds.len(), pages as usize, keyids)
    }
}

/// Every page has one owner and one use, and every count agrees.
fn audit_pages(protected: &Protected, found: &mut Vec<String>) {
    let mut used = BTreeSet::new();
    let mut claim = |found: &mut Vec<String>, (page, level): (u64, u8), owner: u64, kind: PageType| {
        if (page..page + span(level)).step_by(4096).any(|page| !used.insert(page)) {
            found.push(format!("page {page:#x} is used twice"));
        }
        match protected.pamt.get(&page) {
            Some(entry) if entry.kind == kind && entry.owner == owner && entry.level == level => {}
            other => found.push(format!("page {page:#x} is {kind:?} of {owner:#x}, and the PAMT says {other:?}")),
        }
    };
    for (&tdr, td) in &protected.tds {
        claim(found, (tdr, 0), 0, PageType::Tdr);
        // After the KeyID is free, pages are reclaimed one by one and the structures that named them are dead.
        if td.lifecycle == Lifecycle::Teardown {
            continue;
        }
        for &page in &td.tdcs_pages {
            claim(found, (page, 0), tdr, PageType::Tdcx);
        }
        for (level, _, entry) in td.sept.entries() {
            let table = matches!(entry.state, EntryState::TableMapped | EntryState::TableBlocked);
            let (level, kind) = if table { (0, PageType::Ept) } else { (level, PageType::Reg) };
            claim(found, (entry.pa, level), tdr, kind);
        }
        for (&tdvpr, vcpu) in protected.vcpus.iter().filter(|(_, vcpu)| vcpu.tdr == tdr) {
            claim(found, (tdvpr, 0), tdr, PageType::Tdvpr);
            for &page in &vcpu.pages[1..] {
                claim(found, (page, 0), tdr, PageType::Tdcx);
            }
        }
        let owned = protected.pamt.values().filter(|entry| entry.owner == tdr).map(PamtEntry::pages).sum();
        audit_counts(tdr, td, protected, owned, found);
    }
}

/// A TD's counts of pages and vCPUs.
fn audit_counts(tdr: u64, td: &Td, protected: &Protected, owned: u64, found: &mut Vec<String>) {
    let vcpus = || protected.vcpus.values().filter(|vcpu| vcpu.tdr == tdr);
    let (ready, associated) = (vcpus().filter(|v| v.ready).count(), vcpus().filter(|v| v.lp.is_some()).count());
    if owned != td.children {
        found.push(format!("TD {tdr:#x} counts {} pages and owns {owned}", td.children));
    }
    if (ready as u32, associated as u32) != (td.vcpus, td.associated_vcpus) {
        found.push(format!("TD {tdr:#x} counts {} vCPUs, {} associated", td.vcpus, td.associated_vcpus));
    }
}

/// KeyIDs are the TDs' that have them, and the count of TDs being built is right.
fn audit_keys(module: &Module, protected: &Protected, found: &mut Vec<String>) {
    let with_key = |td: &&Td| td.lifecycle != Lifecycle::Teardown;
    let keyids: BTreeSet<u16> = protected.tds.values().filter(with_key).map(|td| td.keyid).collect();
    let holders = protected.tds.values().filter(with_key).count();
    let taken = module.kot.iter().filter(|key| matches!(key, KeyState::Assigned | KeyState::Flushed { .. })).count();
    if keyids.len() != holders || taken != holders {
        found.push(format!("{holders} TDs have {} KeyIDs, and {taken} are taken", keyids.len()));
    }
    let building = |td: &&Td| {
        td.op_state == OpState::Initialized
            && td.lifecycle == Lifecycle::KeysConfigured
            && td.mrtd_context != NO_CONTEXT
    };
    let building = protected.tds.values().filter(building).count();
    if building != usize::from(module.td_build_count) {
        found.push(format!("{building} TDs are being built, and the module counts {}", module.td_build_count));
    }
}

#[cfg(test)]
mod tests;
