//! What the emulated module claims about itself.

use super::elf;
use crate::Generation;
use crate::abi::CpuidConfig;
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
    /// BCD, 0xYYYYMMDD, as in the sigstruct; metadata have it as a decimal number.
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
    /// Number of the [`Generation`].
    pub(super) generation: u16,
    pub(super) reserved_1: [u8; 4],
    /// Rows beyond `num_cpuid_config` are zero.
    pub cpuid_config: [CpuidConfig; 32],
}

impl Default for Descriptor {
    fn default() -> Self {
        Self::of(Generation::default())
    }
}

impl Descriptor {
    /// What a module of this generation claims.
    pub fn of(generation: Generation) -> Self {
        let figures = generation.figures();
        let mut cpuid_config = [CpuidConfig::default(); 32];
        for (row, bits) in cpuid_config.iter_mut().zip(figures.cpuid_config) {
            *row = bits.all();
        }
        let (major, minor, update) = figures.version;
        Self {
            magic: MAGIC,
            form: FORM,
            build_date: 0x2025_0101,
            major,
            minor,
            update,
            internal: 0,
            build_num: 744,
            max_vcpus: figures.max_vcpus,
            tdcs_pages: 6,
            tdvps_pages: 6,
            features0: figures.features0,
            attributes_fixed0: figures.attributes_fixed0,
            attributes_fixed1: 0,
            // `TDX_XFAM_FIXED0` of 1.5.05 `td_control_structures.h`; a module tells what the CPU has of it, and here it has all.
            xfam_fixed0: 0x6_DBE7,
            xfam_fixed1: 0x3,
            config_flags_fixed0: figures.config_flags_fixed0,
            config_flags_fixed1: 0,
            module_hv: figures.module_hv,
            min_update_hv: figures.min_update_hv,
            no_downgrade: figures.no_downgrade.into(),
            reserved: 0,
            min_handoff_pages: 1,
            num_cpuid_config: figures.cpuid_config.len() as u16,
            generation: generation as u16,
            reserved_1: [0; 4],
            cpuid_config,
        }
    }

    /// The rows of configurable CPUID bits in use.
    pub(crate) fn cpuid_rows(&self) -> &[CpuidConfig] {
        &self.cpuid_config[..usize::from(self.num_cpuid_config)]
    }

    /// The generation that it is of; one that is not known is not taken for a descriptor.
    pub fn generation(&self) -> Generation {
        Generation::from_number(self.generation).expect("a descriptor was found only with a generation that exists")
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
            && Generation::from_number(found.generation).is_some()
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
            // The generation.
            (106, 4, true),
            (106, 5, false),
            (107, 1, false),
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
}
