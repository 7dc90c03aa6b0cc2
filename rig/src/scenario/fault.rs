//! Faults of the emulated firmware as a scenario writes them.

use seam_emu::{Fault, FaultAction, FaultPoint};
use serde::{Deserialize, Serialize};

/// A fault of the emulated firmware, and whether it must strike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// Name of the leaf, such as `TDH.SYS.SHUTDOWN` or `SEAMLDR.INSTALL`.
    pub leaf: String,
    /// The LP whose calls are meant; absent: any LP's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lp: Option<usize>,
    /// Which of the matching calls is the first that it strikes, counted from 1 since the machine was started.
    #[serde(default = "one")]
    pub nth: u32,
    /// How many matching calls in a row it strikes.
    #[serde(default = "one")]
    pub times: u32,
    /// Whether the leaf's own work is done first.
    #[serde(default)]
    pub at: FaultPoint,
    /// What happens.
    pub action: FaultAction,
    /// Whether the run fails if it never struck.
    #[serde(default = "yes")]
    pub required: bool,
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

impl FaultSpec {
    /// What the emulated firmware is told.
    pub fn to_fault(&self) -> Fault {
        let Self { leaf, lp, nth, times, at, action, required: _ } = self.clone();
        Fault { leaf, lp, nth, times: Some(times), at, action }
    }

    /// Whether it has the call end as one that failed.
    pub fn is_failure(&self) -> bool {
        match self.action {
            FaultAction::Status(_) | FaultAction::VmFailInvalid | FaultAction::TransientShutdownNs(_) => true,
            FaultAction::DelayNs(_) | FaultAction::NeverReturns | FaultAction::CorruptTd(_) => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_must_strike_unless_it_says_otherwise() {
        let read = |text: &str| toml::from_str::<FaultSpec>(text);
        let plain = read("leaf = \"SEAMLDR.INSTALL\"\naction = \"vm-fail-invalid\"").unwrap();
        assert!(plain.required && plain.is_failure());
        assert_eq!((plain.to_fault().times, plain.to_fault().nth), (Some(1), 1));
        let text = "leaf = \"SEAMLDR.INSTALL\"\naction = { delay-ns = 1 }\nrequired = false";
        let slow = read(text).unwrap();
        assert!(!slow.required && !slow.is_failure());
        assert!(read("leaf = \"x\"\naction = \"vm-fail-invalid\"\nnht = 2").unwrap_err().message().contains("nht"));
    }
}
