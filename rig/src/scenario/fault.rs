//! Faults of the emulated firmware as a scenario writes them.

use schemars::JsonSchema;
use seam_emu::abi::Leaf;
use seam_emu::{Fault, FaultAction, FaultPoint};
use serde::{Deserialize, Serialize};

/// A fault of the emulated firmware, and whether it must strike.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FaultSpec {
    /// Name of the leaf, such as `TDH.SYS.SHUTDOWN` or `SEAMLDR.INSTALL`; without `TDH.` or `SEAMLDR.`, as in reports, will do.
    #[serde(deserialize_with = "super::leaf::full_name")]
    #[schemars(extend("examples" = leaf_names()))]
    pub leaf: String,
    /// The LP whose calls are meant (`cpu` is the same); absent: any LP's.
    #[serde(default, alias = "cpu", skip_serializing_if = "Option::is_none")]
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

fn leaf_names() -> Vec<&'static str> {
    Leaf::ALL.iter().map(|leaf| leaf.name()).collect()
}

const fn one() -> u32 {
    1
}

const fn yes() -> bool {
    true
}

impl FaultSpec {
    /// The same fault as the emulated firmware takes it.
    pub fn to_fault(&self) -> Fault {
        let Self { leaf, lp, nth, times, at, action, required: _ } = self.clone();
        Fault { leaf, lp, nth, times: Some(times), at, action }
    }

    /// Says what cannot be, in a machine with this many CPUs.
    pub(super) fn check(&self, cpus: u32) -> Result<(), String> {
        self.to_fault().validate(cpus as usize).map_err(|why| format!("`faults`, {}: {why}", self.leaf))
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
        assert!(
            read("leaf = \"INSTALL\"\naction = \"vm-fail-invalid\"\nnht = 2").unwrap_err().message().contains("nht")
        );
    }

    #[test]
    fn the_names_of_reports_will_do() {
        let text = "leaf = \"SYS.SHUTDOWN\"\ncpu = 2\naction = { status = \"TDX_SYS_BUSY\" }";
        let fault: FaultSpec = toml::from_str(text).unwrap();
        assert_eq!((fault.leaf.as_str(), fault.lp), ("TDH.SYS.SHUTDOWN", Some(2)));
        assert_eq!(fault.action, FaultAction::Status(0x8000_0202_0000_0000));
        assert_eq!(toml::from_str::<FaultSpec>(&toml::to_string(&fault).unwrap()).unwrap(), fault);
        let slow: FaultSpec = toml::from_str("leaf = \"INSTALL\"\naction = { delay_ns = 1 }").unwrap();
        assert_eq!(slow.action, FaultAction::DelayNs(1));
        let wrong = |text: &str| toml::from_str::<FaultSpec>(text).unwrap_err().message().to_owned();
        assert!(wrong("leaf = \"SEAMLDR.INSTAL\"\naction = \"never-returns\"").contains("`SEAMLDR.INSTALL`"));
        assert!(
            wrong("leaf = \"INSTALL\"\naction = { status = \"SYS_BSY\" }").contains("no status is called `SYS_BSY`")
        );
    }
}
