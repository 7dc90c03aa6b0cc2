//! The steps of an update, as `enum module_update_state` of `arch/x86/virt/vmx/tdx/seamldr.c` numbers them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One state of the update's state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[repr(u8)]
pub enum Step {
    /// Nothing yet.
    Start = 0,
    /// The lead shuts the old module down.
    Shutdown = 1,
    /// Every CPU calls P-SEAMLDR's INSTALL.
    CpuInstall = 2,
    /// One CPU initialises the new module, then every CPU initialises itself.
    CpuInit = 3,
    /// The lead imports the old module's state.
    RunUpdate = 4,
    /// Nothing left to do but to acknowledge.
    Done = 5,
}

impl Step {
    /// All of them, in order.
    pub const ALL: [Self; 6] =
        [Self::Start, Self::Shutdown, Self::CpuInstall, Self::CpuInit, Self::RunUpdate, Self::Done];

    /// The step with this number, if there is one.
    pub fn from_number(n: u64) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.number() == n)
    }

    /// Its number in the kernel.
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// Its name in the kernel, without the prefix.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Start => "START",
            Self::Shutdown => "SHUTDOWN",
            Self::CpuInstall => "CPU_INSTALL",
            Self::CpuInit => "CPU_INIT",
            Self::RunUpdate => "RUN_UPDATE",
            Self::Done => "DONE",
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_json_agree_with_the_names() {
        for (n, step) in Step::ALL.into_iter().enumerate() {
            assert_eq!(Step::from_number(n as u64), Some(step));
            assert_eq!(serde_json::to_value(step).unwrap(), step.name());
        }
        assert_eq!(Step::from_number(6), None);
    }
}
