//! Images: bytes as a file, a good file with changes, and changes that are hashed and signed anew.

use crate::bytes::{Bytes, random_inputs};
use crate::common::{Answer, Machine, call, image};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{Image, ImageSpec};
use seam_emu::{Config, LoaderGeneration, MemoryRange, Regs};
use sha2::{Digest, Sha384};
use std::sync::LazyLock;

const PAGE: usize = 4096;
/// Bytes of a sigstruct, behind which its page is nobody's.
const SIGSTRUCT: usize = 2048;

/// A file of four pages.
static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| image(&ImageSpec { module_pages: 2, ..ImageSpec::version(1, 5, 7) }));

/// A machine of one LP whose module is shut down, with room for any module.
static SHUT: LazyLock<Machine> = LazyLock::new(|| {
    let seamrr = MemoryRange { base: 0x20_0000_0000, size: 1 << 30 };
    let config = Config { seamrr, loader: LoaderGeneration::V2_0, debug_unlocked: true, ..Config::for_lps(1) };
    let mut m = Machine::with(config, &ImageSpec::default());
    m.boot_linux();
    m.ok(0, call(Leaf::SysShutdown));
    m
});

/// Changes bytes: a place in `from` and a mask each.
fn change(file: &mut [u8], mut bytes: Bytes<'_>) {
    while let Some(mask) = bytes.byte() {
        let at = usize::from(bytes.short()) % file.len();
        file[at] ^= mask;
    }
}

/// Makes the 16-bit sum of a file 0.
fn set_checksum(file: &mut [u8]) {
    file[2..4].fill(0);
    let words = file.chunks(2).map(|word| u16::from_le_bytes([word[0], word.get(1).copied().unwrap_or(0)]));
    let sum = words.fold(0, u16::wrapping_add);
    file[2..4].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
}

/// What P-SEAMLDR sees of a file: sigstruct and module.
fn installed(file: &[u8]) -> (&[u8], &[u8]) {
    (&file[PAGE..PAGE + SIGSTRUCT], &file[2 * PAGE..])
}

fn check(input: &[u8]) -> Result<(), String> {
    let mut bytes = Bytes::new(input);
    match bytes.byte().unwrap_or(0) % 4 {
        0 => parse(bytes.rest()),
        1 => parse_changed(bytes),
        2 => install_changed(bytes),
        _ => install_signed(bytes),
    }
}

/// Any bytes as a file: refused, or read so that writing it again gives the same image.
fn parse(file: &[u8]) -> Result<(), String> {
    let Ok(image) = Image::parse(file) else { return Ok(()) };
    if Image::parse(&image.to_file()).as_ref() == Ok(&image) { Ok(()) } else { Err("written otherwise".to_owned()) }
}

/// A good file with changes in header and sigstruct, and a checksum that fits.
fn parse_changed(bytes: Bytes<'_>) -> Result<(), String> {
    let mut file = FILE.clone();
    change(&mut file[..PAGE + SIGSTRUCT], bytes);
    set_checksum(&mut file);
    parse(&file)
}

/// A good file with changes that are not signed.
fn install_changed(bytes: Bytes<'_>) -> Result<(), String> {
    let mut file = FILE.clone();
    change(&mut file[PAGE..], bytes);
    let differs = installed(&file) != installed(&FILE);
    judge_unsigned(&file, differs)
}

/// An image is installed if and only if nothing of it differs from what was signed.
fn judge_unsigned(file: &[u8], differs: bool) -> Result<(), String> {
    let mut m = SHUT.clone();
    let answer = m.install(file, 1);
    if (answer == Answer::Status(Status::SUCCESS)) == differs {
        return Err(format!("INSTALL of {} image: {answer:?}", if differs { "a changed" } else { "the signed" }));
    }
    judge_session(&mut m, answer)
}

/// Changes of the sigstruct (bytes below 2048) and of the ELF file and its descriptor, hashed and signed.
fn install_signed(bytes: Bytes<'_>) -> Result<(), String> {
    let mut file = FILE.clone();
    change(&mut file[PAGE..], bytes);
    set_checksum(&mut file);
    let mut image = Image::parse(&file).map_err(|e| format!("the header was left alone: {e}"))?;
    image.sigstruct.seamhash = Sha384::digest(&image.module).into();
    image.sign();
    let mut m = SHUT.clone();
    let answer = m.install(&image.to_file(), 1);
    judge_session(&mut m, answer)
}

/// What INSTALL leaves: the new module, the old one still shut down, or none.
fn judge_session(m: &mut Machine, answer: Answer) -> Result<(), String> {
    let Answer::Status(status) = answer else { return Err(format!("INSTALL: {answer:?}")) };
    let state = match (status, m.regs.rdx) {
        (Status::SUCCESS, 0) => 0,
        (_, 0) => 4,
        _ => 5,
    };
    if m.firmware.module_state() != state || !m.firmware.held_locks().is_empty() {
        return Err(format!("{status:?}, RDX {}: {}", m.regs.rdx, m.firmware.describe()));
    }
    if status == Status::SUCCESS {
        start(m);
    }
    let found = m.firmware.audit();
    if found.is_empty() { Ok(()) } else { Err(format!("{found:?}")) }
}

/// Whatever the module is, its answers are statuses.
fn start(m: &mut Machine) {
    for regs in [
        call(Leaf::SysInit),
        call(Leaf::SysLpInit),
        call(Leaf::SysUpdate),
        Regs { rcx: crate::common::BUFFER, rdx: 1024, r8: crate::common::BUFFER + 4096, r9: 32, ..call(Leaf::SysInfo) },
        Regs { rdx: crate::common::BUFFER, r8: u64::MAX, ..call(Leaf::SysRdall) },
        call(Leaf::SysShutdown),
    ] {
        m.call(0, regs);
    }
}

#[test]
fn target() {
    bolero::check!().with_iterations(0).for_each(|input| {
        if let Err(broken) = check(input) {
            panic!("{broken}");
        }
    });
}

#[test]
fn random_inputs_break_nothing() {
    random_inputs(400, 64, check);
}

#[test]
fn an_image_that_is_wrongly_judged_is_found() {
    // The signed image is installed, so a judge who believes that it was changed must complain, and the other way round.
    assert_eq!(judge_unsigned(&FILE, false), Ok(()));
    assert!(judge_unsigned(&FILE, true).is_err());
    let mut changed = FILE.clone();
    changed[3 * PAGE] ^= 1;
    assert_eq!(judge_unsigned(&changed, true), Ok(()));
    assert!(judge_unsigned(&changed, false).is_err());
    // A page behind the sigstruct is nobody's.
    let mut padded = FILE.clone();
    padded[PAGE + SIGSTRUCT] ^= 1;
    assert_eq!(judge_unsigned(&padded, false), Ok(()));
}
