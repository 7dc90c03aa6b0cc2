//! How long a run may make no progress, and what it may leave behind.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How long a run may make no progress.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Budget {
    /// CPU time that QEMU may use without any progress of the guest, seconds; absent: by the number of vCPUs.
    pub stall_cpu_s: Option<u32>,
    /// Guest time that a deterministic machine may spin in the update's code without progress, microseconds; absent: 100,000. What
    /// calls and holds last is added.
    pub stall_guest_us: Option<u32>,
    /// What the run may leave behind in events and the kernel's log, MB; absent: 256. A run that reaches it ends as an
    /// error of the rig.
    pub evidence_mb: Option<u32>,
    /// Host time from the machine's start to the verdict on an unloaded host with two cores, seconds: suites run the
    /// cheapest first, and tell one that took longer. It ends no run.
    pub total_s: Option<u32>,
}
