//! The names of the invariants.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that must hold of a run, in the order in which reports list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Invariant {
    /// Each online CPU does each all-CPU step exactly once per update.
    Participation,
    /// No CPU begins step k+1 before every CPU acknowledged step k.
    Lockstep,
    /// The steps of one CPU run once, on the lead CPU.
    LeadOnly,
    /// From SHUTDOWN's start to UPDATE's end no SEAMCALL runs that is not part of the update.
    UpdateOnly,
    /// Interrupts are disabled at all that is recorded of the lockstep region.
    InterruptsOff,
    /// Never two LPs inside P-SEAMLDR.
    SerialLoader,
    /// Each step ends within its budget, and every CPU leaves the `stop_machine` section.
    Progress,
    /// After a CPU failed, no CPU begins a later step, all leave, and the uploader is told.
    StopOnFailure,
    /// Every TD's state digest is the same before and after an update, and its vCPUs run again.
    Preservation,
    /// Outside updates two or more LPs were seen inside the module at once, from process and interrupt context.
    Concurrency,
    /// The online set does not change during an update.
    StableCpus,
    /// No BUG, WARN, lockup, RCU stall, lockdep or KCSAN report on the console.
    QuietKernel,
}

impl Invariant {
    /// All of them, in the order of reports.
    pub const ALL: [Self; 12] = [
        Self::Participation,
        Self::Lockstep,
        Self::LeadOnly,
        Self::UpdateOnly,
        Self::InterruptsOff,
        Self::SerialLoader,
        Self::Progress,
        Self::StopOnFailure,
        Self::Preservation,
        Self::Concurrency,
        Self::StableCpus,
        Self::QuietKernel,
    ];

    /// Its name, as in `verdict.json`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Participation => "participation",
            Self::Lockstep => "lockstep",
            Self::LeadOnly => "lead-only",
            Self::UpdateOnly => "update-only",
            Self::InterruptsOff => "interrupts-off",
            Self::SerialLoader => "serial-loader",
            Self::Progress => "progress",
            Self::StopOnFailure => "stop-on-failure",
            Self::Preservation => "preservation",
            Self::Concurrency => "concurrency",
            Self::StableCpus => "stable-cpus",
            Self::QuietKernel => "quiet-kernel",
        }
    }

    /// What it demands, in one line.
    pub const fn demand(self) -> &'static str {
        match self {
            Self::Participation => "each online CPU does each all-CPU step exactly once per update",
            Self::Lockstep => "no CPU begins a step before every CPU acknowledged the previous one",
            Self::LeadOnly => "the steps of one CPU run once, on the lead CPU",
            Self::UpdateOnly => "from SHUTDOWN's start to UPDATE's end only the update's own SEAMCALLs run",
            Self::InterruptsOff => "interrupts are disabled at all that is recorded of the lockstep region",
            Self::SerialLoader => "never two LPs inside P-SEAMLDR",
            Self::Progress => "each step ends within its budget and every CPU leaves the section",
            Self::StopOnFailure => "after a CPU failed no later step begins, all leave, and the uploader is told",
            Self::Preservation => "every TD is the same before and after an update and runs again",
            Self::Concurrency => {
                "outside updates LPs were inside the module at once, from process and interrupt context"
            }
            Self::StableCpus => "the online set does not change during an update",
            Self::QuietKernel => "the kernel reports no bug, warning, lockup, stall, lockdep or KCSAN finding",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_of_the_json() {
        for invariant in Invariant::ALL {
            assert_eq!(serde_json::to_value(invariant).unwrap(), invariant.name());
        }
    }
}
