//! The rules. Names and meanings are those of the rig's judge (docs/reference/invariants.md) where it has them.

use serde::Serialize;

/// One thing that must hold in every order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rule {
    /// Each CPU does each all-CPU step exactly once.
    Participation,
    /// No CPU begins a step before all acknowledged the one before, or works after its acknowledgement.
    Lockstep,
    /// The steps of one CPU run once; SHUTDOWN and UPDATE on CPU 0.
    LeadOnly,
    /// Only the update's SEAMCALLs run.
    UpdateOnly,
    /// Interrupts are disabled at each SEAMCALL, and nothing sleeps.
    InterruptsOff,
    /// Never two CPUs inside P-SEAMLDR.
    SerialLoader,
    /// Every CPU leaves, after the last step if nothing failed: no state from which that cannot be reached.
    Progress,
    /// After a CPU failed none begins a later step, and the uploader is told.
    StopOnFailure,
    /// The kernel warns only where a failure makes it.
    QuietKernel,
    /// Without a failure the firmware refuses nothing, the new module runs, and every CPU returns 0.
    Succeeds,
    /// After a success the kernel's own record says so, with the new module's version.
    RecordAfter,
}

impl Rule {
    /// All of them.
    pub const ALL: [Self; 11] = [
        Self::Participation,
        Self::Lockstep,
        Self::LeadOnly,
        Self::UpdateOnly,
        Self::InterruptsOff,
        Self::SerialLoader,
        Self::Progress,
        Self::StopOnFailure,
        Self::QuietKernel,
        Self::Succeeds,
        Self::RecordAfter,
    ];

    /// Its name; the judge's if the judge has it.
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
            Self::QuietKernel => "quiet-kernel",
            Self::Succeeds => "succeeds",
            Self::RecordAfter => "record-after",
        }
    }

    /// What it demands.
    pub const fn meaning(self) -> &'static str {
        match self {
            Self::Participation => "each CPU does each all-CPU step (INSTALL, LP.INIT) exactly once",
            Self::Lockstep => {
                "no CPU begins a step before every CPU acknowledged the one before, and none works in a step after it acknowledged it"
            }
            Self::LeadOnly => "SHUTDOWN and UPDATE run once, on CPU 0; SYS.INIT runs once",
            Self::UpdateOnly => "only the update's own SEAMCALLs run",
            Self::InterruptsOff => "interrupts are disabled at each SEAMCALL, and nothing that can sleep is called",
            Self::SerialLoader => "never two CPUs inside P-SEAMLDR",
            Self::Progress => {
                "from every state that can be reached the end can be reached, where every CPU has left; without a failure each acknowledged the last step before"
            }
            Self::StopOnFailure => "after a call failed no CPU begins a later step, and the uploader is told",
            Self::QuietKernel => {
                "the kernel executes no warning, except that of a version that cannot be read after UPDATE"
            }
            Self::Succeeds => {
                "without a failure the firmware refuses no call, the new module runs at the end, and each CPU and the uploader get 0"
            }
            Self::RecordAfter => {
                "after a success the kernel has the new module's version, and marks module and CPUs as initialised"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_those_that_serde_writes() {
        // The judge's own names are in rig-judge, on which this crate does not depend; the end-to-end test compares them.
        let kebab = |rule: Rule| {
            format!("{rule:?}").chars().fold(String::new(), |mut name, c| {
                if c.is_uppercase() && !name.is_empty() {
                    name.push('-');
                }
                name.extend(c.to_lowercase());
                name
            })
        };
        for rule in Rule::ALL {
            assert_eq!(rule.name(), kebab(rule));
        }
    }
}
