//! What the emulated module claims about itself.

use super::elf;
use crate::abi::sigstruct::SigStruct;
use serde::{Deserialize, Serialize};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First bytes of a descriptor.
const MAGIC: [u8; 16] = *b"SEAM-EMU MODULE\0";
/// Version of the descriptor's form.
const FORM: u32 = 1;

/// Pages of a control structure: their size in bytes is told in 16 bits.
const CONTROL_PAGES: std::ops::RangeInclusive<u16> = 1..=15;

/// Versions, features and limits that the module reports as metadata. Little-endian, in a note section of the image.
#[derive(Clone, Debug, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Serialize, Deserialize)]
#[repr(C)]
#[expect(missing_docs, reason = "named after the metadata fields")]
pub struct Descriptor {
    pub(super) magic: [u8; 16],
    pub(super) form: u32,
    /// BCD, 0xYYYYMMDD.
    pub build_date: u32,
    pub major: u16,
    pub minor: u16,
    pub update: u16,
    pub internal: u16,
    pub build_num: u16,
    pub max_vcpus: u16,
    pub tdcs_pages: u16,
    pub tdvps_pages: u16,
    pub features0: u64,
    pub attributes_fixed0: u64,
    pub attributes_fixed1: u64,
    pub xfam_fixed0: u64,
    pub xfam_fixed1: u64,
    pub config_flags_fixed0: u64,
    pub config_flags_fixed1: u64,
    /// Handoff version that the module was built to produce; its sigstruct must say the same.
    pub module_hv: u16,
    /// Lowest handoff version that it was built to consume.
    pub min_update_hv: u16,
    pub no_downgrade: u8,
    pub(super) reserved: u8,
    /// Handoff pages that it needs.
    pub min_handoff_pages: u16,
    pub num_cpuid_config: u16,
    pub(super) reserved_1: [u8; 6],
    /// Rows beyond `num_cpuid_config` are zero.
    pub cpuid_config: [CpuidConfig; 32],
}

/// CPUID bits that a VMM may configure for a TD.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, KnownLayout, Immutable, Serialize, Deserialize,
)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(deny_unknown_fields)]
#[repr(C)]
#[expect(missing_docs, reason = "named after the registers")]
pub struct CpuidConfig {
    pub leaf: u32,
    /// All ones: the leaf has no subleaves.
    pub subleaf: u32,
    pub eax: u32,
    pub ebx: u32,
    pub ecx: u32,
    pub edx: u32,
}

impl CpuidConfig {
    /// Metadata `CPUID_CONFIG_LEAVES`.
    pub(crate) fn leaf_and_subleaf(&self) -> u64 {
        u64::from(self.leaf) | u64::from(self.subleaf) << 32
    }

    /// Both elements of metadata `CPUID_CONFIG_VALUES`.
    pub(crate) fn values(&self) -> [u64; 2] {
        [u64::from(self.eax) | u64::from(self.ebx) << 32, u64::from(self.ecx) | u64::from(self.edx) << 32]
    }
}

const fn row(leaf: u32, subleaf: u32, [eax, ebx, ecx, edx]: [u32; 4]) -> CpuidConfig {
    CpuidConfig { leaf, subleaf, eax, ebx, ecx, edx }
}

/// Source: TDX module `cpuid_configurations.c`, direct and allowed bits together; 0x80000008 EAX from newer modules,
/// whose guest physical address width KVM configures.
const CPUID_CONFIG: [CpuidConfig; 11] = [
    row(0x1, u32::MAX, [0x0FFF_3FFF, 0x00FF_0000, 0x3104_4D88, 0xB844_0000]),
    row(0x4, 0, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0xFFFF_FFFB]),
    row(0x4, 1, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0xFFFF_FFFB]),
    row(0x4, 2, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0xFFFF_FFFB]),
    row(0x4, 3, [0xFFFF_C3FF, 0xFFFF_F000, 0xFFFF_FFFF, 0x7]),
    row(0x7, 0, [0, 0xDC2B_9B18, 0x0241_7F65, 0x0005_411C]),
    row(0x7, 1, [0x1D30, 0, 0, 0]),
    row(0x7, 2, [0, 0, 0, 0x28]),
    row(0x1C, u32::MAX, [0xFF, 0, 0, 0]),
    row(0x23, 0, [0xF, 0, 0, 0]),
    row(0x8000_0008, u32::MAX, [0x00FF_0000, 0x200, 0, 0]),
];

impl Default for Descriptor {
    fn default() -> Self {
        let mut cpuid_config = [CpuidConfig::default(); 32];
        cpuid_config[..CPUID_CONFIG.len()].copy_from_slice(&CPUID_CONFIG);
        Self {
            magic: MAGIC,
            form: FORM,
            build_date: 0x2025_0101,
            major: 1,
            minor: 5,
            update: 6,
            internal: 0,
            build_num: 744,
            max_vcpus: 576,
            tdcs_pages: 6,
            tdvps_pages: 6,
            features0: 0x22_6F3F_0FBF,
            attributes_fixed0: 1 << 63 | 1 << 30 | 1 << 29 | 1 << 28 | 1,
            attributes_fixed1: 0,
            xfam_fixed0: 0x6_02E7,
            xfam_fixed1: 0x3,
            config_flags_fixed0: 0b111,
            config_flags_fixed1: 0,
            module_hv: 0,
            min_update_hv: 0,
            no_downgrade: 0,
            reserved: 0,
            min_handoff_pages: 1,
            num_cpuid_config: CPUID_CONFIG.len() as u16,
            reserved_1: [0; 6],
            cpuid_config,
        }
    }
}

impl Descriptor {
    /// The descriptor that a test image carries.
    pub fn find(module: &[u8]) -> Option<Self> {
        let mut notes = elf::sections(module)?.into_iter().filter(|section| section.kind.get() == elf::SHT_NOTE);
        notes.find_map(|note| Self::at(module, note.offset.get()))
    }

    fn at(module: &[u8], offset: u64) -> Option<Self> {
        let bytes = module.get(usize::try_from(offset).ok()?..)?;
        let (found, _) = Self::read_from_prefix(bytes).ok()?;
        let valid = found.magic == MAGIC
            && found.form == FORM
            && usize::from(found.num_cpuid_config) <= 32
            && [found.tdcs_pages, found.tdvps_pages].iter().all(|pages| CONTROL_PAGES.contains(pages));
        valid.then_some(found)
    }

    /// What is assumed of a genuine module, whose code is not run: the defaults, its build date and handoff versions,
    /// and the version that the sigstruct tells in the 2.0 series. Sigstructs of the 1.5 series do not tell it: 1.5.00.
    pub fn assumed(sig: &SigStruct) -> Self {
        let told = sig.module_version;
        let (major, minor, update) = match told[3] {
            0 => (1, 5, 0),
            major => (major.into(), told[2].into(), u16::from_le_bytes([told[0], told[1]])),
        };
        Self {
            build_date: sig.date.get(),
            major,
            minor,
            update,
            module_hv: sig.module_hv.get(),
            min_update_hv: sig.min_update_hv.get(),
            ..Self::default()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::{Image, ImageSpec, build};
    use zerocopy::FromZeros;

    /// Where the maker of test images puts the descriptor.
    const AT: usize = 4096;

    fn module() -> Vec<u8> {
        let spec = ImageSpec { module_pages: 2, ..ImageSpec::version(1, 5, 7) };
        Image::parse(&build(&spec)).expect("valid").module
    }

    #[test]
    fn a_descriptor_is_found_in_a_note() {
        let found = Descriptor::find(&module()).expect("a test image has one");
        assert_eq!((found.major, found.minor, found.update, found.build_num), (1, 5, 7, 744));
        assert_eq!(found.num_cpuid_config, 11);
    }

    #[test]
    fn what_is_no_descriptor_is_not_taken_for_one() {
        // A byte of the magic, of the form, of the number of CPUID rows, and of the pages of TDCS and TDVPS.
        for (offset, value, found) in [
            (0, b'S', true),
            (0, b's', false),
            (16, 2, false),
            (104, 32, true),
            (104, 33, false),
            (36, 15, true),
            (36, 16, false),
            (36, 0, false),
            (38, 1, true),
            (39, 1, false),
        ] {
            let mut module = module();
            module[AT + offset] = value;
            assert_eq!(Descriptor::find(&module).is_some(), found, "byte {offset} = {value}");
        }
        assert_eq!(Descriptor::find(&module()[..AT + 100]), None, "cut off");
        assert_eq!(Descriptor::find(&[]), None);
    }

    #[test]
    fn a_genuine_module_is_assumed_to_be_what_its_sigstruct_tells() {
        let mut sig = SigStruct::new_zeroed();
        (sig.date, sig.module_hv, sig.min_update_hv) = (0x2024_0506.into(), 3.into(), 2.into());
        let old = Descriptor::assumed(&sig);
        assert_eq!((old.major, old.minor, old.update), (1, 5, 0));
        assert_eq!((old.build_date, old.module_hv, old.min_update_hv), (0x2024_0506, 3, 2));
        sig.module_version = [8, 1, 4, 2, 0, 0, 0, 0];
        let new = Descriptor::assumed(&sig);
        assert_eq!((new.major, new.minor, new.update), (2, 4, 0x108));
        assert_eq!(new.features0, Descriptor::default().features0);
    }

    #[test]
    fn cpuid_rows_are_told_as_words() {
        let row = CpuidConfig { leaf: 0x24, subleaf: 1, eax: 0x11, ebx: 0x22, ecx: 0x33, edx: 0x44 };
        assert_eq!(row.leaf_and_subleaf(), 0x1_0000_0024);
        assert_eq!(row.values(), [0x22_0000_0011, 0x44_0000_0033]);
    }
}
