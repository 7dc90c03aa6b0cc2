//! The kernel's configuration, as distributions leave it in a file.

use crate::host::Host;
use std::collections::BTreeSet;

/// Options that are set to `y` or `m`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KernelConfig(BTreeSet<String>);

impl KernelConfig {
    /// Looks where distributions put it, and in the build tree of a kernel of one's own.
    pub fn find(host: &Host, release: &str) -> Option<Self> {
        let places = [
            format!("/boot/config-{release}"),
            format!("/lib/modules/{release}/config"),
            format!("/lib/modules/{release}/build/.config"),
        ];
        places.iter().find_map(|place| host.text(place)).map(|text| Self::parse(&text))
    }

    fn parse(text: &str) -> Self {
        let set = |line: &str| Some(line.strip_suffix("=y").or_else(|| line.strip_suffix("=m"))?.to_owned());
        Self(text.lines().filter_map(set).collect())
    }

    /// Whether an option, such as `CONFIG_KPROBES`, is built in or a module.
    pub fn has(&self, option: &str) -> bool {
        self.0.contains(option)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_built_in_or_modules() {
        let config = KernelConfig::parse("# CONFIG_C is not set\nCONFIG_A=y\nCONFIG_B=m\nCONFIG_D=\"y\"\n");
        assert!(config.has("CONFIG_A") && config.has("CONFIG_B"));
        assert!(!config.has("CONFIG_C") && !config.has("CONFIG_D"));
    }
}
