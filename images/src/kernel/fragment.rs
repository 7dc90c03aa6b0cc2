//! Configuration fragments, whose lines are demands that are checked after Kconfig resolved them.

use crate::ImagesError;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;

/// Lines of kernel configuration, each of them a demand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fragment {
    /// Name for messages.
    pub name: String,
    /// `CONFIG_X=y` and `# CONFIG_X is not set` lines; other comments are free.
    pub text: String,
}

impl Fragment {
    /// Fragments that come with this crate.
    pub const NAMES: &[&str] = &["base", "tdx-host", "debug", "kcsan", "rt"];

    /// One of [`Fragment::NAMES`].
    pub fn named(name: &str) -> Result<Self, ImagesError> {
        let text = match name {
            "base" => include_str!("../../kernels/base.config"),
            "tdx-host" => include_str!("../../kernels/tdx-host.config"),
            "debug" => include_str!("../../kernels/debug.config"),
            "kcsan" => include_str!("../../kernels/kcsan.config"),
            "rt" => include_str!("../../kernels/rt.config"),
            _ => return Err(ImagesError::NoFragment { name: name.into(), known: Self::NAMES }),
        };
        Ok(Self { name: name.into(), text: text.into() })
    }

    /// The name of a fragment of the caller's.
    pub const ADDED: &str = "kconfig";

    /// A fragment of these lines of the caller's; none of no lines.
    pub fn added(lines: &[String]) -> Option<Self> {
        let text = lines.join("\n") + "\n";
        (!lines.is_empty()).then(|| Self { name: Self::ADDED.into(), text })
    }

    /// The lines that demand something.
    pub fn demands(&self) -> impl Iterator<Item = &str> {
        self.text.lines().map(str::trim_end).filter(|line| option(line).is_some())
    }

    /// Checks that `config`, as Kconfig wrote it, meets each demand of `profile`.
    pub(crate) fn verify(profile: &[Self], config: &str) -> Result<(), ImagesError> {
        match Self::all_unmet(profile, config).next() {
            Some((fragment, line)) => Err(ImagesError::ConfigLine { fragment: fragment.into(), line: line.into() }),
            None => Ok(()),
        }
    }

    /// The demands of `profile` that `config` does not meet.
    pub(crate) fn unmet(profile: &[Self], config: &str) -> Vec<String> {
        Self::all_unmet(profile, config).map(|(_, line)| line.to_owned()).collect()
    }

    /// The same with the names of their fragments. Of two fragments that speak of the same option the later one counts.
    fn all_unmet<'a>(profile: &'a [Self], config: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let written: HashSet<&str> = config.lines().collect();
        let mut decided = HashSet::new();
        let lines = profile.iter().rev().flat_map(|f| f.demands().map(|line| (f.name.as_str(), line)));
        lines.filter(move |(_, line)| {
            let option = option(line).expect("demands name an option");
            decided.insert(option) && !is_met(line, option, &written, config)
        })
    }
}

/// The option that a line speaks of, `CONFIG_X`; `None` for comments and empty lines.
fn option(line: &str) -> Option<&str> {
    let set = line.split_once('=').map(|(option, _)| option);
    let unset = line.strip_prefix("# ").and_then(|line| line.strip_suffix(" is not set"));
    set.or(unset).filter(|option| option.starts_with("CONFIG_") && !option.contains(' '))
}

/// An option that Kconfig does not even mention is not set either.
fn is_met(line: &str, option: &str, written: &HashSet<&str>, config: &str) -> bool {
    if !line.starts_with('#') && !line.ends_with("=n") {
        return written.contains(line);
    }
    let set = format!("{option}=");
    !config.lines().any(|line| line.starts_with(&set))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fragment(name: &str, text: &str) -> Fragment {
        Fragment { name: name.into(), text: text.into() }
    }

    fn broken_line(profile: &[Fragment], config: &str) -> Option<(String, String)> {
        match Fragment::verify(profile, config) {
            Ok(()) => None,
            Err(ImagesError::ConfigLine { fragment, line }) => Some((fragment, line)),
            Err(other) => panic!("{other}"),
        }
    }

    #[test]
    fn can_meet_demands() {
        let profile = [fragment(
            "a",
            "# A comment about CONFIG_X=y.\nCONFIG_SMP=y\nCONFIG_NR_CPUS=64\n# CONFIG_INET is not set\n# CONFIG_NET is not set\n",
        )];
        assert_eq!(broken_line(&profile, "CONFIG_SMP=y\nCONFIG_NR_CPUS=64\n# CONFIG_INET is not set\n"), None);
    }

    #[test]
    fn cannot_meet_a_line_that_kconfig_changed() {
        let profile = [fragment("a", "CONFIG_SMP=y\n"), fragment("b", "CONFIG_KVM=m\n")];
        let broken = |config| broken_line(&profile, config);
        assert_eq!(broken("CONFIG_SMP=y\nCONFIG_KVM=y\n"), Some(("b".into(), "CONFIG_KVM=m".into())));
        assert_eq!(broken("CONFIG_KVM=m\n"), Some(("a".into(), "CONFIG_SMP=y".into())));
        assert_eq!(broken("CONFIG_SMP=yes\nCONFIG_KVM=m\n"), Some(("a".into(), "CONFIG_SMP=y".into())));
    }

    #[test]
    fn cannot_meet_an_unset_line_when_it_is_set() {
        let profile = [fragment("a", "# CONFIG_INET is not set\n")];
        assert_eq!(broken_line(&profile, "CONFIG_INET=y\n"), Some(("a".into(), "# CONFIG_INET is not set".into())));
        assert_eq!(broken_line(&profile, "CONFIG_INET_DIAG=y\n"), None);
    }

    #[test]
    fn a_later_fragment_overrides_an_earlier_one() {
        let profile = [fragment("a", "CONFIG_PREEMPT=y\n"), fragment("b", "# CONFIG_PREEMPT is not set\n")];
        assert_eq!(broken_line(&profile, "# CONFIG_PREEMPT is not set\n"), None);
        assert!(broken_line(&profile, "CONFIG_PREEMPT=y\n").is_some());
    }

    #[test]
    fn the_callers_lines_are_demands_too() {
        assert_eq!(Fragment::added(&[]), None);
        let profile = Vec::from_iter(Fragment::added(&["CONFIG_X=y".into(), "CONFIG_Y=n".into()]));
        assert_eq!(broken_line(&profile, "CONFIG_X=y\n"), None);
        assert_eq!(broken_line(&profile, ""), Some((Fragment::ADDED.into(), "CONFIG_X=y".into())));
        assert_eq!(
            broken_line(&profile, "CONFIG_X=y\nCONFIG_Y=m\n"),
            Some((Fragment::ADDED.into(), "CONFIG_Y=n".into()))
        );
    }

    #[test]
    fn all_named_fragments_demand_something() {
        for name in Fragment::NAMES {
            assert!(Fragment::named(name).unwrap().demands().count() > 0, "{name}");
        }
        assert!(matches!(Fragment::named("nonsense"), Err(ImagesError::NoFragment { .. })));
    }
}
