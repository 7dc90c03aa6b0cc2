//! Scenarios that run in a virtual machine inside the machine.

use super::Scenario;
use rig_judge::Invariant;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Scenarios that the rig runs inside a virtual machine in which KVM works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nested {
    /// The outer machine's kernel, one of Debian's, as `debian:7.3`.
    pub kernel: String,
    /// Whether `rig doctor` must find KVM in there.
    #[serde(default)]
    pub doctor: bool,
    /// Names of those that go on from a snapshot, of one machine that is booted for all of them; the others boot.
    #[serde(default)]
    pub warm: Vec<String>,
    /// Invariants that must be seen held, by the name of the scenario.
    #[serde(default)]
    pub held: BTreeMap<String, Vec<Invariant>>,
    /// What is run, one after another.
    pub scenarios: Vec<Scenario>,
}
