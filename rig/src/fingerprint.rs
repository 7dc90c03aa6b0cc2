//! What a kept result depends on, as a hash: a result is used again only if all of it is the same.

use crate::file_hash::sha256_of_file;
use crate::trouble::Trouble;
use rig_images::Images;
use sha2::{Digest, Sha256};
use std::path::Path;

/// Hashes of the rig's own programs: this one, the agent and the plugin.
pub(crate) fn of_tools(images: &Images) -> Result<Vec<String>, Trouble> {
    let own = std::env::current_exe().map_err(|e| Trouble::file("find", Path::new("/proc/self/exe"), &e))?;
    [own, images.agent()?, images.plugin()?].iter().map(|path| sha256_of_file(path)).collect()
}

/// SHA-256 of texts of which none can run into the next, in hexadecimal.
pub(crate) fn hash(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    format!("{:x}", hasher.finalize())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_text_runs_into_the_next() {
        assert_eq!(hash(&["ab", "c"]), hash(&["ab", "c"]));
        assert_ne!(hash(&["ab", "c"]), hash(&["a", "bc"]));
    }
}
