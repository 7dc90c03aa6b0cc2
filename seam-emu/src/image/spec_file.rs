//! [`ImageSpec`] as files have it: the name of a generation, or a table of what differs from one.

use super::{CpuidConfig, ImageSpec};
use crate::Generation;
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};
use std::fmt;

/// The table. A key that is absent is as in the generation.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    #[serde(default)]
    generation: Generation,
    major: Option<u16>,
    minor: Option<u16>,
    update: Option<u16>,
    build_date: Option<u32>,
    build_num: Option<u16>,
    minor_svn: Option<u8>,
    major_svn: Option<u8>,
    module_hv: Option<u16>,
    min_update_hv: Option<u16>,
    no_downgrade: Option<bool>,
    num_handoff_pages: Option<u16>,
    module_pages: Option<u32>,
    debug: Option<bool>,
    features0: Option<u64>,
    max_vcpus: Option<u16>,
    attributes_fixed0: Option<u64>,
    cpuids: Option<Vec<u32>>,
    extra_cpuid_config: Option<Vec<CpuidConfig>>,
}

impl Table {
    fn into_spec(self) -> ImageSpec {
        let usual = ImageSpec::of(self.generation);
        ImageSpec {
            generation: self.generation,
            major: self.major.unwrap_or(usual.major),
            minor: self.minor.unwrap_or(usual.minor),
            update: self.update.unwrap_or(usual.update),
            build_date: self.build_date.unwrap_or(usual.build_date),
            build_num: self.build_num.unwrap_or(usual.build_num),
            minor_svn: self.minor_svn.unwrap_or(usual.minor_svn),
            major_svn: self.major_svn.unwrap_or(usual.major_svn),
            module_hv: self.module_hv.unwrap_or(usual.module_hv),
            min_update_hv: self.min_update_hv.unwrap_or(usual.min_update_hv),
            no_downgrade: self.no_downgrade.unwrap_or(usual.no_downgrade),
            num_handoff_pages: self.num_handoff_pages.unwrap_or(usual.num_handoff_pages),
            module_pages: self.module_pages.unwrap_or(usual.module_pages),
            debug: self.debug.unwrap_or(usual.debug),
            features0: self.features0.unwrap_or(usual.features0),
            max_vcpus: self.max_vcpus.unwrap_or(usual.max_vcpus),
            attributes_fixed0: self.attributes_fixed0.unwrap_or(usual.attributes_fixed0),
            cpuids: self.cpuids.unwrap_or(usual.cpuids),
            extra_cpuid_config: self.extra_cpuid_config.unwrap_or(usual.extra_cpuid_config),
        }
    }
}

impl<'de> Deserialize<'de> for ImageSpec {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(NameOrTable)
    }
}

struct NameOrTable;

impl<'de> Visitor<'de> for NameOrTable {
    type Value = ImageSpec;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the name of a module generation, or a table of what differs from one")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<ImageSpec, E> {
        Generation::deserialize(StrDeserializer::new(name)).map(ImageSpec::of)
    }

    fn visit_map<M: MapAccess<'de>>(self, map: M) -> Result<ImageSpec, M::Error> {
        Table::deserialize(MapAccessDeserializer::new(map)).map(Table::into_spec)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ImageSpec, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    #[test]
    fn a_name_is_a_generation() {
        for generation in Generation::ALL {
            assert_eq!(read(&format!("\"{}\"", generation.name())), Ok(ImageSpec::of(generation)));
        }
        let unknown = read("\"1.5.17\"").unwrap_err();
        assert!(unknown.starts_with("unknown variant `1.5.17`, expected one of `configurable`, `1.5.01`"), "{unknown}");
    }

    #[test]
    fn a_table_tells_what_differs_from_a_generation() {
        let spec = read(r#"{"generation": "1.5.25", "minor_svn": 3}"#).unwrap();
        assert_eq!(spec, ImageSpec { minor_svn: 3, ..ImageSpec::of(Generation::V1_5_25) });
        assert_eq!(read("{}"), Ok(ImageSpec::default()));
        assert!(read(r#"{"minor": 5, "bogus": 1}"#).unwrap_err().starts_with("unknown field `bogus`, expected one of"));
        assert!(read("7").unwrap_err().contains("the name of a module generation, or a table"));
    }

    #[test]
    fn what_is_written_is_read_again() {
        for generation in Generation::ALL {
            let spec = ImageSpec { update: 77, cpuids: vec![1], ..ImageSpec::of(generation) };
            assert_eq!(read(&serde_json::to_string(&spec).unwrap()), Ok(spec));
        }
    }
}
