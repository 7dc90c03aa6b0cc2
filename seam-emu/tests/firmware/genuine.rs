//! Released images, which are not part of this repository: fetch them from intel/tdx-module-binaries and name their
//! folder in `SEAM_EMU_GENUINE_IMAGES`.

use seam_emu::abi::Status;
use seam_emu::image::{INTEL_KEY_HASH, Image, Mutation};
use seam_emu::{BootError, Config, Firmware, LoaderGeneration};
use std::path::PathBuf;

/// Every `.blob` in the folder.
fn images() -> Vec<(PathBuf, Vec<u8>)> {
    let folder = std::env::var_os("SEAM_EMU_GENUINE_IMAGES").expect("SEAM_EMU_GENUINE_IMAGES names a folder");
    let mut found: Vec<_> = std::fs::read_dir(folder)
        .expect("the folder can be read")
        .map(|entry| entry.expect("its entries can be read").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "blob"))
        .map(|path| (path.clone(), std::fs::read(path).expect("the image can be read")))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "the folder holds no .blob file");
    found
}

/// A platform with the CPU that the image is for and the given trust.
fn platform(file: &[u8], trusted: bool) -> Config {
    let image = Image::parse(file).expect("a valid file");
    let cpuid = image.sigstruct.cpuids().next().expect("a CPUID table");
    Config {
        cpuid_1_eax: cpuid,
        loader: if image.sigstruct.module_version == [0; 8] {
            LoaderGeneration::V1_5_02
        } else {
            LoaderGeneration::V2_0
        },
        trusted_key_hashes: if trusted { vec![image.key_hash()] } else { Vec::new() },
        ..Config::for_lps(2)
    }
}

#[test]
#[ignore = "needs released images in SEAM_EMU_GENUINE_IMAGES"]
fn genuine_images_can_be_loaded_when_their_key_is_trusted() {
    for (path, file) in images() {
        let firmware = Firmware::boot(platform(&file, true), &file).unwrap_or_else(|e| panic!("{path:?}: {e}"));
        assert!(firmware.describe().contains("assumed"), "a genuine image has no descriptor");
    }
}

#[test]
#[ignore = "needs released images in SEAM_EMU_GENUINE_IMAGES"]
fn genuine_images_cannot_be_loaded_when_their_key_is_not_trusted() {
    for (path, file) in images() {
        let refused = Firmware::boot(platform(&file, false), &file).map(drop);
        assert_eq!(refused, Err(BootError::Install(Status::EBADSIG)), "{path:?}");
    }
}

#[test]
#[ignore = "needs released images in SEAM_EMU_GENUINE_IMAGES"]
fn images_of_the_2_0_series_cannot_be_loaded_by_p_seamldr_1_5() {
    let mut seen = false;
    for (path, file) in images() {
        let config = platform(&file, true);
        if config.loader == LoaderGeneration::V2_0 {
            let older = Config { loader: LoaderGeneration::V1_5_02, ..config };
            assert_eq!(Firmware::boot(older, &file).map(drop), Err(BootError::Install(Status::EBADSIG)), "{path:?}");
            seen = true;
        }
    }
    assert!(seen, "the folder holds an image of the 2.0 series");
}

#[test]
#[ignore = "needs released images in SEAM_EMU_GENUINE_IMAGES"]
fn genuine_images_cannot_be_loaded_when_altered() {
    use Mutation as M;
    for (path, file) in images() {
        for (mutation, status) in [
            (M::Signature, Status::EBADSIG),
            (M::SignedField, Status::EBADSIG),
            (M::Modulus, Status::EBADSIG),
            (M::Hash, Status::EBADHASH),
        ] {
            let refused = Firmware::boot(platform(&file, true), &mutation.apply(&file)).map(drop);
            assert_eq!(refused, Err(BootError::Install(status)), "{path:?} {mutation:?}");
        }
        for mutation in [M::Magic, M::HeaderReserved, M::Checksum, M::Truncated] {
            let refused = Firmware::boot(platform(&file, true), &mutation.apply(&file)).map(drop);
            assert!(matches!(refused, Err(BootError::Image(_))), "{path:?} {mutation:?}");
        }
    }
}

#[test]
#[ignore = "needs released images in SEAM_EMU_GENUINE_IMAGES"]
fn released_images_are_signed_with_the_key_that_p_seamldr_names() {
    for (path, file) in images() {
        assert_eq!(Image::parse(&file).expect("a valid file").key_hash(), INTEL_KEY_HASH, "{path:?}");
    }
}
