//! What a test image is to contain.

use super::CpuidConfig;
use serde::{Deserialize, Serialize};

/// What a test image is to contain. The default is a module 1.5.06 much like the released one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(default, deny_unknown_fields)]
pub struct ImageSpec {
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
    /// Update version.
    pub update: u16,
    /// BCD, 0xYYYYMMDD.
    pub build_date: u32,
    /// Build number.
    pub build_num: u16,
    /// Minor SVN of the module.
    pub minor_svn: u8,
    /// Major SVN of the module: 1 for the 1.5 series.
    pub major_svn: u8,
    /// Handoff version that the module produces.
    pub module_hv: u16,
    /// Lowest handoff version that it consumes.
    pub min_update_hv: u16,
    /// It refuses to produce lower handoff versions.
    pub no_downgrade: bool,
    /// Handoff pages, minus 1.
    pub num_handoff_pages: u16,
    /// Module pages, 2 to 496.
    pub module_pages: u32,
    /// Signed for debug.
    pub debug: bool,
    /// Metadata `TDX_FEATURES0`.
    pub features0: u64,
    /// Most vCPUs of a TD.
    pub max_vcpus: u16,
    /// Metadata `ATTRIBUTES_FIXED0`.
    pub attributes_fixed0: u64,
    /// CPUID leaf 1 EAX of the CPUs that it runs on, stepping ignored; none: any (debug images only).
    pub cpuids: Vec<u32>,
    /// CPUID configuration entries added to the usual ones.
    pub extra_cpuid_config: Vec<CpuidConfig>,
}

impl Default for ImageSpec {
    fn default() -> Self {
        let usual = super::Descriptor::default();
        Self {
            major: 1,
            minor: 5,
            update: 6,
            build_date: 0x2025_0101,
            build_num: 744,
            minor_svn: 5,
            major_svn: 1,
            module_hv: 0,
            min_update_hv: 0,
            no_downgrade: false,
            num_handoff_pages: 13,
            module_pages: 146,
            debug: false,
            features0: usual.features0,
            max_vcpus: usual.max_vcpus,
            attributes_fixed0: usual.attributes_fixed0,
            // Sapphire Rapids and Emerald Rapids.
            cpuids: vec![0x0008_06F8, 0x000C_06F2],
            extra_cpuid_config: Vec::new(),
        }
    }
}

impl ImageSpec {
    /// The default with another update version, as in `1.5.07`.
    pub fn version(major: u16, minor: u16, update: u16) -> Self {
        Self { major, minor, update, ..Self::default() }
    }

    /// Version as Linux prints it.
    pub fn version_string(&self) -> String {
        format!("{}.{}.{:02}", self.major, self.minor, self.update)
    }
}
