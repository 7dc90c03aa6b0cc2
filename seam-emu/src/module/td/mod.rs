//! Trust domains: their control structures (TDR, TDCS, TDVPS) and the rules that all TD leaves share.

pub(crate) mod access;
pub(crate) mod cpuid;
pub(crate) mod digest;
pub(crate) mod measure;
pub(crate) mod ops;
pub(crate) mod pages;
pub(crate) mod params;
pub(crate) mod sept;
pub(crate) mod vcpu;
pub(crate) mod zero_step;

use measure::Measurement;
use params::Settings;
use sept::Sept;
use serde::{Deserialize, Serialize};

/// A TD: its TDR and TDCS. Source: TDX module `td_control_structures.h`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Td {
    pub(crate) lifecycle: Lifecycle,
    pub(crate) keyid: u16,
    /// Packages on which the TD's key is set, one bit each.
    pub(crate) packages: u8,
    /// Pages of the TD besides the TDR.
    pub(crate) children: u64,
    /// TDCS pages, by physical address.
    pub(crate) tdcs_pages: Vec<u64>,
    pub(crate) op_state: OpState,
    /// What TDH.MNG.INIT set.
    pub(crate) settings: Settings,
    pub(crate) vcpus: u32,
    pub(crate) associated_vcpus: u32,
    /// TLB epoch.
    pub(crate) epoch: u64,
    /// vCPUs that entered in an epoch and have not left, by the epoch's lowest bit.
    pub(crate) inside: [u16; 2],
    pub(crate) sept: Sept,
    /// Number of the secure EPT's translations, from [`crate::module::Protected::new_translations`]: a new one when some are
    /// taken away. No two TDs ever have the same.
    pub(crate) translations: u64,
    pub(crate) measurement: Measurement,
    /// What the TD wants to be told of (`NOTIFY_ENABLES`).
    pub(crate) notify_enables: u64,
    /// Version of the measurement's context (`mrtd_context_version`).
    pub(crate) mrtd_context: u16,
}

/// Life cycle of a TD's keys. Source: TDX module `td_lifecycle_state_t`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Lifecycle {
    KeyidAssigned,
    KeysConfigured,
    Blocked,
    Teardown,
}

/// Operation state of a TD; those of migration are not modelled. Source: TDX module `op_state_lookup.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum OpState {
    Uninitialized,
    Initialized,
    Runnable,
}

impl Td {
    /// As TDH.MNG.CREATE leaves it.
    pub(crate) fn new(keyid: u16) -> Self {
        Self {
            lifecycle: Lifecycle::KeyidAssigned,
            keyid,
            packages: 0,
            children: 0,
            tdcs_pages: Vec::new(),
            op_state: OpState::Uninitialized,
            settings: Settings::default(),
            vcpus: 0,
            associated_vcpus: 0,
            epoch: 0,
            inside: [0; 2],
            sept: Sept::default(),
            translations: 0,
            measurement: Measurement::new(),
            notify_enables: 0,
            mrtd_context: measure::NO_CONTEXT,
        }
    }

    /// Whether no vCPU can still use a translation that was blocked in epoch `blocked` (`is_tlb_tracked`).
    pub(crate) fn is_tracked(&self, blocked: u64) -> bool {
        let drained = self.inside[(blocked & 1) as usize] == 0;
        blocked + 1 < self.epoch || (blocked + 1 == self.epoch && drained)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_translation_is_gone_one_epoch_later_when_all_left_and_two_later_anyway() {
        for (blocked, epoch, inside, tracked) in [
            (4, 4, [0, 0], false),
            (4, 5, [0, 0], true),
            (4, 5, [1, 0], false),
            (4, 5, [0, 1], true),
            (5, 6, [1, 0], true),
            (5, 6, [0, 1], false),
            (4, 6, [1, 1], true),
        ] {
            let td = Td { epoch, inside, ..Td::new(33) };
            assert_eq!(td.is_tracked(blocked), tracked, "{blocked} {epoch} {inside:?}");
        }
    }
}
