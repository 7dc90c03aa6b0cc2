//! A kernel's configuration as options and values, and what distinguishes two.

use super::Fragment;
use crate::ImagesError;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What only makes the rig's own kernels small, quick or alike, and is everybody's own choice elsewhere.
const OWN_CHOICES: [&str; 7] = [
    "CONFIG_EXPERT",
    "CONFIG_PREEMPT",
    "CONFIG_HZ_100",
    "CONFIG_NO_HZ_IDLE",
    "CONFIG_UNWINDER_FRAME_POINTER",
    "CONFIG_CC_OPTIMIZE_FOR_PERFORMANCE",
    "CONFIG_KERNEL_LZ4",
];

/// The options that a `.config` sets, with their values.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelConfig(BTreeMap<String, String>);

impl KernelConfig {
    /// Reads the text of a `.config`.
    pub fn parse(text: &str) -> Self {
        let set = text.lines().filter(|line| line.starts_with("CONFIG_")).filter_map(|line| line.split_once('='));
        Self(set.map(|(option, value)| (option.to_owned(), value.to_owned())).collect())
    }

    /// Reads a `.config`.
    pub fn read(path: &Path) -> Result<Self, ImagesError> {
        Ok(Self::parse(&fs::read_to_string(path).map_err(ImagesError::io(path))?))
    }

    /// The value of an option, such as `y`, `m` or `64`; none if it is not set.
    pub fn value(&self, option: &str) -> Option<&str> {
        self.0.get(option).map(String::as_str)
    }

    /// Whether an option is built in or a module.
    pub fn has(&self, option: &str) -> bool {
        matches!(self.value(option), Some("y" | "m"))
    }

    /// The lines of the fragments that this configuration lacks. What they only switch off, and what is everybody's own choice, is
    /// not among them; a built-in option is as good as a module, and a greater number as a smaller one.
    pub fn lacks(&self, fragments: &[Fragment]) -> Vec<String> {
        let lines = fragments.iter().flat_map(Fragment::demands);
        let lacking = |line: &&str| line.split_once('=').is_some_and(|(option, value)| self.is_less(option, value));
        lines.filter(lacking).map(str::to_owned).collect()
    }

    fn is_less(&self, option: &str, wanted: &str) -> bool {
        if OWN_CHOICES.contains(&option) || wanted == "n" {
            return false;
        }
        match (wanted.parse::<u64>(), self.value(option).map(str::parse::<u64>)) {
            (Ok(wanted), Some(Ok(own))) => own < wanted,
            _ => !self.has(option),
        }
    }

    /// What became different, a line for each option.
    pub fn changes(&self, after: &Self) -> Vec<String> {
        let unset = "not set";
        let mut options: Vec<&String> = self.0.keys().chain(after.0.keys()).collect();
        options.sort();
        options.dedup();
        let pair = |option: &&String| (self.value(option).unwrap_or(unset), after.value(option).unwrap_or(unset));
        let changed = options.iter().filter(|option| pair(option).0 != pair(option).1);
        changed.map(|option| format!("{option}: {} -> {}", pair(option).0, pair(option).1)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(text: &str) -> Fragment {
        Fragment { name: "a".into(), text: text.into() }
    }

    #[test]
    fn only_what_is_lacking_is_asked_for() {
        let own = KernelConfig::parse(
            "CONFIG_SMP=y\nCONFIG_KVM=y\n# CONFIG_ACPI is not set\nCONFIG_NR_CPUS=64\nCONFIG_INET=y\n",
        );
        let wanted = "CONFIG_SMP=y\nCONFIG_KVM=m\nCONFIG_ACPI=y\nCONFIG_NR_CPUS=512\n# CONFIG_INET is not set\nCONFIG_HZ_100=y\n";
        assert_eq!(own.lacks(&[fragment(wanted)]), ["CONFIG_ACPI=y", "CONFIG_NR_CPUS=512"]);
        assert!(KernelConfig::parse("CONFIG_NR_CPUS=8192\n").lacks(&[fragment("CONFIG_NR_CPUS=512\n")]).is_empty());
    }

    #[test]
    fn changes_are_named_with_both_values() {
        let before = KernelConfig::parse("CONFIG_A=y\nCONFIG_B=m\nCONFIG_C=\"x\"\n");
        let after = KernelConfig::parse("CONFIG_A=y\nCONFIG_B=y\nCONFIG_D=4\n");
        let lines = ["CONFIG_B: m -> y", "CONFIG_C: \"x\" -> not set", "CONFIG_D: not set -> 4"];
        assert_eq!(before.changes(&after), lines);
        assert!(before.changes(&before).is_empty());
    }
}
