//! What somebody claims of the kernel, and how a run would show it.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A claim that `rig claim` tries: the scenario, with its holds, is how the error would come about. `rig run` does not look at it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claim {
    /// What is claimed, in one sentence.
    pub says: String,
    /// Where it was said.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub source: String,
    /// The invariant that would break, or the check that would not be met, by the name that a verdict has for it.
    pub shown_by: String,
    /// Runs of the scenario as it is, 1 or more.
    #[serde(default = "twenty")]
    pub runs: u32,
    /// Seeds 0 up to this one of schedules that are explored with the scenario's loads, in place of its own holds; 0: none.
    #[serde(default)]
    pub seeds: u64,
    /// CPUs of an exploration of every order of the machine code (as `rig prove`), 1 to 8; absent: none is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prove_cpus: Option<u8>,
    /// Whether one SEAMCALL, whichever, may fail in that exploration.
    #[serde(default)]
    pub prove_failures: bool,
    /// Changes to the source of the rig's kernel of which the claim speaks.
    #[serde(default, rename = "edit", skip_serializing_if = "Vec::is_empty")]
    pub edits: Vec<ClaimEdit>,
}

/// Each place of a source file that has this very text gets another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ClaimEdit {
    /// Path in the kernel's source.
    pub file: String,
    /// The text that is there.
    pub from: String,
    /// The text in its place.
    pub to: String,
}

const fn twenty() -> u32 {
    20
}

impl Claim {
    /// Says what cannot be, with the rig's own kernel or another.
    pub(super) fn check(&self, is_rigs_kernel: bool) -> Result<(), String> {
        if self.says.is_empty() || self.shown_by.is_empty() {
            return Err("`claim.says` and `claim.shown_by` must not be empty".into());
        }
        if self.runs == 0 {
            return Err("`claim.runs` is 0; it must be at least 1".into());
        }
        if let Some(cpus) = self.prove_cpus.filter(|cpus| !(1..=8).contains(cpus)) {
            return Err(format!("`claim.prove_cpus` is {cpus}; it must be 1 to 8"));
        }
        if !self.edits.is_empty() && !is_rigs_kernel {
            return Err(
                "`claim.edit` changes the rig's kernel, and `kernel` names another: leave out one of the two".into()
            );
        }
        Ok(())
    }

    /// Whether something that a run did not meet, as a verdict names it, is what would show the claim.
    pub fn is_shown_by(&self, unmet: &str) -> bool {
        let rest = unmet.strip_prefix(self.shown_by.as_str());
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(" is "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim() -> Claim {
        Claim { says: "It races.".into(), shown_by: "load reader".into(), runs: 1, ..Claim::default() }
    }

    #[test]
    fn a_claim_is_shown_by_what_it_names() {
        let claim = claim();
        assert!(claim.is_shown_by("load reader is torn, not only what may be read"));
        for other in ["load reader2 is x, not y", "load", "lockstep"] {
            assert!(!claim.is_shown_by(other), "{other}");
        }
        assert!(Claim { shown_by: "lockstep".into(), ..claim }.is_shown_by("lockstep"));
    }

    #[test]
    fn cannot_claim_nothing_or_of_an_unknown_kernel() {
        assert_eq!(claim().check(false), Ok(()));
        let edits = vec![ClaimEdit::default()];
        assert_eq!(Claim { edits: edits.clone(), ..claim() }.check(true), Ok(()));
        assert!(Claim { edits, ..claim() }.check(false).unwrap_err().contains("`claim.edit`"));
        assert!(Claim { runs: 0, ..claim() }.check(true).unwrap_err().contains("`claim.runs`"));
        assert!(Claim { prove_cpus: Some(9), ..claim() }.check(true).unwrap_err().contains("`claim.prove_cpus`"));
        assert!(Claim { shown_by: String::new(), ..claim() }.check(true).is_err());
    }
}
