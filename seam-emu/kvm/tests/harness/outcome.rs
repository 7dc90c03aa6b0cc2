//! What a case came to.

use super::firmware;
use super::walk::Walked;
use rig_judge::{Examined, Finding, Invariant};
use rig_wire::event::{Kind, Record, flags};
use seam_kvm::Emulator;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// What a case came to.
pub(crate) struct Outcome {
    pub(crate) examined: Examined,
    pub(crate) records: Vec<Record>,
    /// By update and LP.
    pub(crate) walks: Vec<Vec<Walked>>,
    /// How often vCPUs were interrupted.
    pub(crate) kicks: u64,
    /// All updates together, without the machine's making.
    pub(crate) took: Duration,
    pub(crate) emulator: Arc<Emulator>,
}

impl Outcome {
    /// Invariants that the judge found broken.
    pub(crate) fn broken(&self) -> BTreeSet<Invariant> {
        self.with(|finding| matches!(finding, Finding::Broken(_)))
    }

    /// Invariants that the judge found held.
    pub(crate) fn held(&self) -> BTreeSet<Invariant> {
        self.with(|finding| matches!(finding, Finding::Held { .. }))
    }

    fn with(&self, is_meant: impl Fn(&Finding) -> bool) -> BTreeSet<Invariant> {
        let all = &self.examined.findings.invariants;
        all.iter().filter(|(_, finding)| is_meant(finding)).map(|(invariant, _)| *invariant).collect()
    }

    /// Records of this kind whose field `a` is this.
    pub(crate) fn count(&self, kind: Kind, a: u64) -> usize {
        self.records.iter().filter(|record| record.kind == kind as u16 && record.a == a).count()
    }

    /// Stores to a watched word.
    pub(crate) fn stores(&self, watch: usize) -> usize {
        let is_store = |record: &&Record| record.flags & flags::STORE != 0 && record.a == watch as u64;
        self.records.iter().filter(|record| record.kind == Kind::Watch as u16).filter(is_store).count()
    }

    /// All vCPUs returned 0 from each of so many updates, and the module is the new one.
    pub(crate) fn succeeded(&self, updates: usize) -> bool {
        let all_zero = self.walks.iter().flatten().all(|walked| *walked == Walked::Returned(0));
        all_zero && self.walks.len() == updates && firmware::version(&mut self.emulator.firmware()) == firmware::AFTER
    }
}
