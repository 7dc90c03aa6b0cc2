//! A TDX module image as released: `tdx_module_X.Y.ZZ.blob`, what Linux uploads.
//!
//! Sources: `struct tdx_image_header` of Linux 7.3's `arch/x86/virt/vmx/tdx/seamldr.c`; `blob_structure.txt` and
//! `version_select_and_load.py` of intel/confidential-computing.tdx.tdx-module.binaries; for the fields of `SEAM_SIGSTRUCT` the
//! SEAM Loader Interface Specification (343755).

use crate::version::Version;
use sha2::{Digest, Sha384};

const PAGE: usize = 4096;
/// Bytes of `SEAM_SIGSTRUCT` in its page.
const SIGSTRUCT: usize = 2048;
const MODULE_PAGES_MAX: u32 = 496;

/// What an image says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Pages of the module.
    pub pages: u32,
    /// `SEAMSVN`: minor SVN in the low byte, major SVN in the high one.
    pub svn: u16,
    /// Signed for debugging.
    pub debug: bool,
    /// CPUID.1:EAX of the processors that it is for.
    pub cpuid_1_eax: Vec<u32>,
    /// Handoff version that the module writes.
    pub handoff_version: u16,
    /// Lowest handoff version that the module can take over.
    pub min_update_handoff_version: u16,
    /// The version that was signed; none in images of the 1.5 series, which do not have it. Where it stands is known from
    /// the released images only (unverified): update version (2 bytes), minor, major.
    pub version: Option<Version>,
}

/// Why the bytes are no image that the kernel or P-SEAMLDR would take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadBlob {
    /// Shorter than its first page.
    #[error("it has {0} bytes, less than one page")]
    Short(usize),
    /// Not `TDX-BLOB`.
    #[error("it does not begin as an image does (TDX-BLOB)")]
    Magic,
    /// Another format.
    #[error("its format is version {0:#x}, the kernel takes 0x200 only")]
    Version(u16),
    /// Numbers of pages.
    #[error("it claims {sigstruct} signature pages and {module} module pages, the kernel takes at most 1 and 496")]
    Pages {
        /// Pages of `SEAM_SIGSTRUCT`.
        sigstruct: u32,
        /// Pages of the module.
        module: u32,
    },
    /// The file is cut short, or something follows.
    #[error("it has {found} bytes, its header says {wanted}")]
    Size {
        /// By the header.
        wanted: usize,
        /// The file's.
        found: usize,
    },
    /// Something where zeros must be.
    #[error("reserved bytes of its header are not zero")]
    Reserved,
    /// The 16-bit words of the file must add up to 0.
    #[error("its checksum is wrong")]
    Checksum,
    /// `SEAMHASH` is not the SHA-384 of the module's pages.
    #[error("the module's hash is not the one that was signed")]
    Hash,
    /// More entries than the table has room for.
    #[error("its table of processors claims {0} entries, there is room for 255")]
    CpuTable(u32),
}

impl Blob {
    /// Reads an image, and makes the checks that need no key.
    pub fn parse(bytes: &[u8]) -> Result<Self, BadBlob> {
        let header = bytes.get(..PAGE).ok_or(BadBlob::Short(bytes.len()))?;
        check_header(header, bytes.len())?;
        let words = bytes.chunks_exact(2).map(|pair| u16::from_le_bytes([pair[0], pair[1]]));
        if words.fold(0u16, u16::wrapping_add) != 0 {
            return Err(BadBlob::Checksum);
        }
        let sigstruct = &bytes[PAGE..][..SIGSTRUCT];
        if sigstruct[900..948] != *Sha384::digest(&bytes[2 * PAGE..]) {
            return Err(BadBlob::Hash);
        }
        let entries = word(sigstruct, 1024);
        if entries > 255 {
            return Err(BadBlob::CpuTable(entries));
        }
        Ok(Self {
            pages: word(header, 16),
            svn: half(sigstruct, 948),
            debug: word(sigstruct, 12) >> 31 != 0,
            cpuid_1_eax: (0..entries as usize).map(|n| word(sigstruct, 1028 + 4 * n)).collect(),
            handoff_version: half(sigstruct, 984),
            min_update_handoff_version: half(sigstruct, 986),
            version: signed_version(&sigstruct[1000..1004]),
        })
    }

    /// Whether it is for this processor. The stepping does not count.
    pub fn runs_on(&self, cpuid_1_eax: u32) -> bool {
        self.cpuid_1_eax.iter().any(|entry| entry & !0xf == cpuid_1_eax & !0xf)
    }
}

fn check_header(header: &[u8], size: usize) -> Result<(), BadBlob> {
    if header[4..12] != *b"TDX-BLOB" {
        return Err(BadBlob::Magic);
    }
    if half(header, 0) != 0x200 {
        return Err(BadBlob::Version(half(header, 0)));
    }
    let (sigstruct, module) = (word(header, 12), word(header, 16));
    if sigstruct != 1 || !(1..=MODULE_PAGES_MAX).contains(&module) {
        return Err(BadBlob::Pages { sigstruct, module });
    }
    let wanted = PAGE * (1 + sigstruct as usize + module as usize);
    if size != wanted {
        return Err(BadBlob::Size { wanted, found: size });
    }
    if header[20..].iter().any(|byte| *byte != 0) { Err(BadBlob::Reserved) } else { Ok(()) }
}

fn signed_version(bytes: &[u8]) -> Option<Version> {
    let (update, minor, major) = (half(bytes, 0), bytes[2].into(), bytes[3].into());
    (major != 0).then_some(Version { major, minor, update })
}

fn half(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().expect("two bytes"))
}

fn word(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;
    use seam_emu::image::{ImageSpec, build};

    #[test]
    fn an_image_names_its_processors() {
        let blob = Blob::parse(&build(&ImageSpec::default())).unwrap();
        assert!(!blob.debug && blob.pages >= 1 && !blob.cpuid_1_eax.is_empty());
        let eax = blob.cpuid_1_eax[0];
        assert!(blob.runs_on(eax ^ 0x5) && !blob.runs_on(eax ^ 0x10));
        assert_eq!(blob.version, None);
        assert_eq!(signed_version(&[4, 0, 0, 2]), Some("2.0.04".parse().unwrap()));
    }

    /// The checksum is made good again, so that the case shows its own check.
    #[rstest]
    #[case::magic(4, b'X', BadBlob::Magic)]
    #[case::version(1, 3, BadBlob::Version(0x300))]
    #[case::signatures(12, 2, BadBlob::Pages { sigstruct: 2, module: 4 })]
    #[case::reserved(100, 1, BadBlob::Reserved)]
    #[case::module(9000, 0xaa, BadBlob::Hash)]
    fn cannot_read_a_damaged_image(#[case] at: usize, #[case] byte: u8, #[case] expected: BadBlob) {
        let mut image = build(&ImageSpec::default());
        let pages = word(&image, 16);
        image[at] = byte;
        (image[2], image[3]) = (0, 0);
        let sum = image.chunks_exact(2).fold(0u16, |sum, w| sum.wrapping_add(u16::from_le_bytes([w[0], w[1]])));
        image[2..4].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
        let expected = match expected {
            BadBlob::Pages { sigstruct, .. } => BadBlob::Pages { sigstruct, module: pages },
            other => other,
        };
        assert_eq!(Blob::parse(&image), Err(expected));
    }

    #[test]
    fn cannot_read_what_is_cut_short_or_miscounted() {
        let image = build(&ImageSpec::default());
        assert_eq!(Blob::parse(&image[..100]), Err(BadBlob::Short(100)));
        let found = image.len() - 1;
        assert_eq!(Blob::parse(&image[..found]), Err(BadBlob::Size { wanted: image.len(), found }));
        let mut wrong = image.clone();
        wrong[2] ^= 1;
        assert_eq!(Blob::parse(&wrong), Err(BadBlob::Checksum));
    }
}
