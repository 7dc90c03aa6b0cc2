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

    /// Keys of the published file and of a release in it, and what their values are.
    #[test]
    fn the_rigs_own_mapping_file_has_the_published_shape() {
        let file: serde_json::Value = serde_json::from_str(&mapping_file(&[ImageSpec::default()])).unwrap();
        let keys = |value: &serde_json::Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
        assert_eq!(keys(&file), ["Header", "tdx_module_releases"]);
        assert_eq!(keys(&file["Header"]), ["Copyright", "Info", "Version"]);
        let release = &file["tdx_module_releases"][0];
        let mut published = ["version", "min_module_version_for_td_preserving", "min_seamldr_versions", "tdx_feature0"];
        published.sort_unstable();
        let mut own = keys(release);
        own.sort_unstable();
        assert_eq!(own, published);
        assert!(release["min_seamldr_versions"].as_array().unwrap().iter().all(serde_json::Value::is_string));
        let feature0 = release["tdx_feature0"].as_str().unwrap().strip_prefix("0x").unwrap();
        assert!(u64::from_str_radix(feature0, 16).is_ok() && feature0 == feature0.to_uppercase());
    }

    #[test]
    #[ignore = "needs a checkout of the release repository in RIG_RELEASES"]
    fn the_published_mapping_file_is_one() {
        let folder = std::env::var_os("RIG_RELEASES").expect("RIG_RELEASES names a checkout");
        let path = Path::new(&folder).join("mapping_file.json");
        let mapping = Mapping::load(&path).unwrap();
        assert!(mapping.releases.len() > 5, "{mapping:?}");
        let found = crate::choose::by_mapping(&path).unwrap();
        assert!(!found.is_empty() && found.iter().all(|c| c.release.is_some()), "{found:?}");
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
