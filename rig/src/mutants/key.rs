//! What a result depends on, as a hash: a result is used again only if all of it is the same.

use super::{Mutant, target};
use crate::file_hash::sha256_of_file;
use crate::fingerprint::{self, hash};
use crate::trouble::Trouble;
use rig_images::{Images, KernelRequest};

/// What all results of one command have in common.
#[derive(Clone, Debug)]
pub(super) struct Common {
    /// Hash of the unmodified kernel's image.
    kernel: String,
    /// Hashes of the rig's own programs: this one, the agent and the plugin.
    tools: Vec<String>,
}

impl Common {
    pub(super) fn of(images: &Images) -> Result<Self, Trouble> {
        Ok(Self { kernel: of_kernel(images)?, tools: fingerprint::of_tools(images)? })
    }

    /// The key of a mutant's result.
    pub(super) fn of_mutant(&self, mutant: &Mutant) -> Result<String, Trouble> {
        self.of_parts(&mutant.function, &mutant.source)
    }

    /// The key of the unmodified kernel's result.
    pub(super) fn of_unmodified(&self) -> Result<String, Trouble> {
        let scenarios = target::all_scenarios()?;
        Ok(hash(&[&self.kernel, &self.tools.concat(), &serde_json::to_string(&scenarios).expect("plain data")]))
    }

    fn of_parts(&self, function: &str, source: &str) -> Result<String, Trouble> {
        let scenarios = serde_json::to_string(&target::scenarios(function)?).expect("scenarios are plain data");
        Ok(hash(&[&self.kernel, &self.tools.concat(), source, &scenarios]))
    }
}

/// Hash of the unmodified kernel's image.
pub(super) fn of_kernel(images: &Images) -> Result<String, Trouble> {
    sha256_of_file(&images.kernel(&KernelRequest::default())?.bzimage)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_code_other_tools_and_another_kernel_make_another_key() {
        let common = Common { kernel: "k".into(), tools: vec!["t".into()] };
        let key = |common: &Common, source: &str| common.of_parts("ack_state", source).unwrap();
        let first = key(&common, "a");
        assert_eq!(first, key(&common, "a"));
        assert_ne!(first, key(&common, "b"));
        assert_ne!(first, key(&Common { kernel: "l".into(), ..common.clone() }, "a"));
        assert_ne!(first, key(&Common { tools: vec!["u".into()], ..common }, "a"));
    }
}
