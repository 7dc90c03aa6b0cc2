//! `mapping_file.json`, which lies beside released images and says what may follow what.
//!
//! Source of the form: intel/confidential-computing.tdx.tdx-module.binaries. Newer files have keys that older ones lack
//! (`strict_compat_versions`); what is not known here is ignored, as the published client does.

use crate::trouble::Trouble;
use crate::version::Version;
use serde::{Deserialize, Deserializer};
use std::path::Path;

/// The file.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Mapping {
    /// Every release.
    #[serde(rename = "tdx_module_releases")]
    pub releases: Vec<Release>,
}

/// What is published of one release of the TDX module.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Release {
    /// Its version.
    #[serde(deserialize_with = "version")]
    pub version: Version,
    /// Oldest running module that it can take over trust domains from.
    #[serde(rename = "min_module_version_for_td_preserving", deserialize_with = "version")]
    pub min_module: Version,
    /// Oldest P-SEAMLDR of each series that can load it.
    #[serde(rename = "min_seamldr_versions", deserialize_with = "versions")]
    pub min_seamldrs: Vec<Version>,
}

impl Mapping {
    /// Reads the text of a mapping file.
    pub fn parse(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text)
    }

    /// Reads a mapping file.
    pub fn load(path: &Path) -> Result<Self, Trouble> {
        let text = std::fs::read_to_string(path).map_err(|e| Trouble::file("read", path, &e))?;
        let help = "take mapping_file.json from the release repository of the TDX module";
        Self::parse(&text).map_err(|e| Trouble::usage(format!("{} is no mapping file: {e}", path.display()), help))
    }

    /// What is published of this version.
    pub fn release(&self, version: Version) -> Option<&Release> {
        self.releases.iter().find(|release| release.version == version)
    }
}

fn version<'de, D: Deserializer<'de>>(from: D) -> Result<Version, D::Error> {
    String::deserialize(from)?.parse().map_err(serde::de::Error::custom)
}

fn versions<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<Version>, D::Error> {
    let texts = Vec::<String>::deserialize(from)?;
    texts.iter().map(|text| text.parse().map_err(serde::de::Error::custom)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use seam_emu::image::{ImageSpec, mapping_file};

    #[test]
    fn the_rigs_own_mapping_file_is_one() {
        let spec = ImageSpec::default();
        let mapping = Mapping::parse(&mapping_file(std::slice::from_ref(&spec))).unwrap();
        let version = spec.version_string().parse().unwrap();
        assert_eq!(mapping.release(version).map(|r| r.min_module), Some(version));
    }

    #[test]
    fn cannot_read_what_lacks_a_rule() {
        for text in [
            "{}",
            r#"{"tdx_module_releases":[{"version":"1.5.05"}]}"#,
            r#"{"tdx_module_releases":[{"version":"1.5","min_module_version_for_td_preserving":"1.5.01","min_seamldr_versions":[]}]}"#,
        ] {
            assert!(Mapping::parse(text).is_err(), "{text}");
        }
    }
}
