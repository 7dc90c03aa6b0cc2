//! What a scenario has the rig's program for real TDX hosts do in the emulated machine.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One call of `rig-hw` in the guest, and what must come of it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HwOrder {
    /// Its arguments. Images and `mapping_file.json` of updates 1 to 3 lie in `/hw`; evidence of what changes the machine is
    /// fetched into the run folder.
    pub arguments: Vec<String>,
    /// The exit code that it must end with.
    #[serde(default)]
    pub code: i32,
    /// What it must say, on either stream.
    #[serde(default)]
    pub says: Vec<String>,
    /// What `version` must read afterwards, or `lost`; absent: not looked at.
    #[serde(default)]
    pub version: Option<String>,
}

impl HwOrder {
    /// Whether it leaves evidence: it changes the machine.
    pub fn leaves_evidence(&self) -> bool {
        self.arguments.iter().any(|argument| argument == "--yes")
    }
}

/// Says what makes orders impossible.
pub(super) fn check(orders: &[HwOrder], updates: u32) -> Result<(), String> {
    if orders.is_empty() {
        return Ok(());
    }
    if updates != 0 {
        return Err(format!("`updates` is {updates}, but `hw` makes the updates: set it to 0"));
    }
    match orders.iter().find(|order| order.arguments.is_empty()) {
        Some(_) => Err("`hw.arguments` is empty; it must begin with a command, such as \"check\"".into()),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn orders_take_the_place_of_updates() {
        let order = HwOrder { arguments: vec!["update".into(), "--yes".into()], ..HwOrder::default() };
        assert!(order.leaves_evidence());
        assert_eq!(check(std::slice::from_ref(&order), 0), Ok(()));
        assert_eq!(check(&[], 5), Ok(()));
        assert!(check(&[order], 1).unwrap_err().contains("`updates`"));
        assert!(check(&[HwOrder::default()], 0).unwrap_err().contains("`hw.arguments`"));
    }
}
