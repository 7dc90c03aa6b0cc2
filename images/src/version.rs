//! Dotted versions.

/// Numbers of a dotted version, for comparing.
pub(crate) fn version_key(version: &str) -> Vec<u32> {
    version.split('.').map_while(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number() {
        assert!(version_key("2.9") < version_key("2.41"));
        assert!(version_key("2.41.1") > version_key("2.41"));
    }
}
