//! What a test image is to contain.

use super::CpuidConfig;
use crate::Generation;
use serde::Serialize;

/// What a test image is to contain. The default is a module 1.5.06 much like the released one. In files it is the name of a
/// [`Generation`], or a table of what differs from one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[cfg_attr(feature = "schema", schemars(default, deny_unknown_fields, transform = or_the_name_of_a_generation))]
pub struct ImageSpec {
    /// The generation whose rules the module follows, and whose figures it has where the rest does not say otherwise.
    #[serde(skip_serializing_if = "is_default")]
    pub generation: Generation,
    /// Major version.
    pub major: u16,
    /// Minor version.
    pub minor: u16,
    /// Update version.
    pub update: u16,
    /// BCD, 0xYYYYMMDD, as sigstructs have it.
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

/// Files have a generation's name in place of the table, too.
#[cfg(feature = "schema")]
fn or_the_name_of_a_generation(schema: &mut schemars::Schema) {
    let names = Generation::ALL.map(Generation::name);
    *schema = schemars::json_schema!({ "anyOf": [{ "enum": names }, schema.clone()] });
}

/// What is left out of files.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_default(generation: &Generation) -> bool {
    *generation == Generation::default()
}

impl Default for ImageSpec {
    fn default() -> Self {
        Self::of(Generation::default())
    }
}

impl From<Generation> for ImageSpec {
    fn from(generation: Generation) -> Self {
        Self::of(generation)
    }
}

impl ImageSpec {
    /// A module of this generation.
    pub fn of(generation: Generation) -> Self {
        let figures = generation.figures();
        let (major, minor, update) = figures.version;
        Self {
            generation,
            major,
            minor,
            update,
            build_date: 0x2025_0101,
            build_num: 744,
            minor_svn: figures.minor_svn,
            major_svn: 1,
            module_hv: figures.module_hv,
            min_update_hv: figures.min_update_hv,
            no_downgrade: figures.no_downgrade,
            num_handoff_pages: 13,
            module_pages: 146,
            debug: false,
            features0: figures.features0,
            max_vcpus: figures.max_vcpus,
            attributes_fixed0: figures.attributes_fixed0,
            // Sapphire Rapids and Emerald Rapids.
            cpuids: vec![0x0008_06F8, 0x000C_06F2],
            extra_cpuid_config: Vec::new(),
        }
    }

    /// The default with another update version, as in `1.5.07`.
    pub fn version(major: u16, minor: u16, update: u16) -> Self {
        Self { major, minor, update, ..Self::default() }
    }

    /// Version as Linux prints it.
    pub fn version_string(&self) -> String {
        format!("{}.{}.{:02}", self.major, self.minor, self.update)
    }
}
