//! Generations of the TDX module: what differs between the versions that Intel published, as data.
//!
//! Each generation is one [`Figures`] in a file of its own, with the source beside each figure. Sources, all of
//! intel/tdx-module: 1.5.01, branch `tdx_1.5`; 1.5.05, commit e98d9639; 1.5.06, commit 1e636985; 1.5.28, commit 30d22188;
//! 1.5.34, commit 9fd3c8b1. The published sources of 1.5.16 and 1.5.25 were compiled and run as code; "run" marks a figure
//! that was seen there. "Unverified" marks one that none of these gives.

mod configurable;
mod figures;
mod fms;
mod v1_5_01;
mod v1_5_05;
mod v1_5_16;
mod v1_5_25;

use serde::{Deserialize, Serialize};

pub use figures::{CpuidBits, Figures};
pub(crate) use fms::allowed_fms;

/// A generation of the TDX module.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
pub enum Generation {
    /// No published one: much like 1.5.06, and every figure of [`crate::image::ImageSpec`] may be changed.
    #[default]
    #[serde(rename = "configurable")]
    Configurable = 0,
    /// 1.5.01.
    #[serde(rename = "1.5.01")]
    V1_5_01 = 1,
    /// 1.5.05.
    #[serde(rename = "1.5.05")]
    V1_5_05 = 2,
    /// 1.5.16.
    #[serde(rename = "1.5.16")]
    V1_5_16 = 3,
    /// 1.5.25.
    #[serde(rename = "1.5.25")]
    V1_5_25 = 4,
}

impl Generation {
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Configurable, Self::V1_5_01, Self::V1_5_05, Self::V1_5_16, Self::V1_5_25];

    /// Its name in scenarios.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Configurable => "configurable",
            Self::V1_5_01 => "1.5.01",
            Self::V1_5_05 => "1.5.05",
            Self::V1_5_16 => "1.5.16",
            Self::V1_5_25 => "1.5.25",
        }
    }

    /// What distinguishes it.
    pub const fn figures(self) -> &'static Figures {
        match self {
            Self::Configurable => &configurable::FIGURES,
            Self::V1_5_01 => &v1_5_01::FIGURES,
            Self::V1_5_05 => &v1_5_05::FIGURES,
            Self::V1_5_16 => &v1_5_16::FIGURES,
            Self::V1_5_25 => &v1_5_25::FIGURES,
        }
    }

    /// The generation with this number in a descriptor.
    pub(crate) fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_names_are_those_of_the_list() {
        for (number, generation) in Generation::ALL.into_iter().enumerate() {
            assert_eq!(generation as usize, number);
            assert_eq!(Generation::from_number(number as u16), Some(generation));
            let (major, minor, update) = generation.figures().version;
            let version = format!("{major}.{minor}.{update:02}");
            assert!(generation == Generation::Configurable || version == generation.name(), "{version}");
            assert_eq!(serde_json::to_string(&generation).unwrap(), format!("\"{}\"", generation.name()));
        }
        assert_eq!(Generation::from_number(5), None);
    }

    #[test]
    fn later_generations_do_not_lose_what_earlier_ones_have() {
        for pair in Generation::ALL[1..].windows(2) {
            let (a, b) = (pair[0].figures(), pair[1].figures());
            assert_eq!(a.features0 & !b.features0, 0, "{:?}", pair[1]);
            assert!(a.fields <= b.fields && a.cpuid_config.len() <= b.cpuid_config.len(), "{:?}", pair[1]);
            assert!(a.versioned.iter().all(|leaf| b.versioned.contains(leaf)), "{:?}", pair[1]);
            assert!(a.minor_svn <= b.minor_svn && a.module_hv <= b.module_hv, "{:?}", pair[1]);
        }
    }
}
