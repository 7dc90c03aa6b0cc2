//! Released images, which are not part of this repository: fetch them from intel/tdx-module-binaries and name their
//! folder in SEAM_EMU_GENUINE_IMAGES.

use seam_emu::abi::Status;
use seam_emu::image::{INTEL_KEY_HASH, Image, Mutation};
use seam_emu::{BootError, Config, Firmware};
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
fn the_1_5_series_is_signed_with_the_key_that_p_seamldr_names() {
    let series = images().into_iter().filter(|(path, _)| path.to_string_lossy().contains("_1.5."));
    let keys: Vec<_> = series.map(|(_, file)| Image::parse(&file).expect("a valid file").key_hash()).collect();
    assert!(!keys.is_empty(), "the folder holds a 1.5 image");
    assert!(keys.iter().all(|key| *key == INTEL_KEY_HASH));
}
