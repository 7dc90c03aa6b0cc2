//! Trust domains in a scenario: what Linux's KVM builds and runs while the updates are made.

use rig_wire::td::Placement;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Trust domains that KVM builds and runs in the guest, through its published interface.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Tds {
    /// TDs that are built before the first update and run until after the last.
    pub count: u32,
    /// vCPUs of each TD.
    pub vcpus: u32,
    /// What runs in them.
    #[serde(skip_serializing_if = "TdGuest::is_script")]
    pub guest: TdGuest,
    /// Where the vCPUs' threads run.
    pub placement: Placement,
    /// Threads that build, run and destroy TDs in loops during the updates.
    pub churn: u32,
    /// TDs that are built, run and destroyed after the last update.
    pub cycles: u32,
    /// Some TDs of `churn` and `cycles` must be refused, for want of KeyIDs.
    pub refusals: bool,
    /// Every n-th TD of `churn` and `cycles` is given up half-way through its life, each time elsewhere; 0: none.
    pub abandon_every: u32,
}

/// What runs in a scenario's trust domains.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TdGuest {
    /// Scripts, which the firmware model interprets.
    #[default]
    Script,
    /// A program of x86 machine code, which does the same and looks at more.
    Code,
}

impl TdGuest {
    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    fn is_script(&self) -> bool {
        *self == Self::Script
    }
}

impl Tds {
    /// Says what is out of range.
    pub(super) fn check(&self) -> Result<(), String> {
        for (key, value, max) in
            [("count", self.count, 1024), ("churn", self.churn, 64), ("cycles", self.cycles, 100_000)]
        {
            if value > max {
                return Err(format!("`tds.{key}` is {value}; it must be 0 to {max}"));
            }
        }
        if !(1..=64).contains(&self.vcpus) {
            return Err(format!("`tds.vcpus` is {}; it must be 1 to 64", self.vcpus));
        }
        Ok(())
    }
}

impl Default for Tds {
    fn default() -> Self {
        let placement = Placement::default();
        let guest = TdGuest::default();
        Self { count: 1, vcpus: 1, guest, placement, churn: 0, cycles: 0, refusals: false, abandon_every: 0 }
    }
}
