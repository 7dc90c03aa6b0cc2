//! Image files: what the reader takes, in both versions of the form, and what comes of every mutation.

use crate::common::{Answer, Machine, call, image};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{Image, ImageError, ImageSpec, Mutation};
use seam_emu::{Config, LoaderGeneration};

const PAGE: usize = 4096;

/// A file of few pages: header, sigstruct, two module pages.
fn small() -> Vec<u8> {
    image(&ImageSpec { module_pages: 2, ..ImageSpec::version(1, 5, 7) })
}

/// Makes the 16-bit sum 0.
fn with_checksum(mut file: Vec<u8>) -> Vec<u8> {
    file[2..4].fill(0);
    let words = file.chunks(2).map(|word| u16::from_le_bytes([word[0], word.get(1).copied().unwrap_or(0)]));
    let sum = words.fold(0, u16::wrapping_add);
    file[2..4].copy_from_slice(&sum.wrapping_neg().to_le_bytes());
    file
}

/// The small image as a file of version 0x100, the module `gap` bytes behind the sigstruct's page.
fn version_1(gap: usize) -> Vec<u8> {
    let file = small();
    let mut old = vec![0; PAGE];
    old[..2].copy_from_slice(&[0, 1]);
    old[8..16].copy_from_slice(b"TDX-BLOB");
    old.extend_from_slice(&file[PAGE..2 * PAGE]);
    old.resize(2 * PAGE + gap, 0);
    let offset = old.len() as u32;
    old.extend_from_slice(&file[2 * PAGE..]);
    let size = old.len() as u32;
    old[4..8].copy_from_slice(&offset.to_le_bytes());
    old[16..20].copy_from_slice(&size.to_le_bytes());
    with_checksum(old)
}

/// What comes of a mutated file.
#[derive(Debug, PartialEq)]
enum Fate {
    /// The reader of image files refuses it.
    Unread(ImageError),
    /// P-SEAMLDR's answer to INSTALL.
    Installed(Status),
}

fn fate(mutation: Mutation) -> Fate {
    let file = mutation.apply(&small());
    if let Err(error) = Image::parse(&file) {
        return Fate::Unread(error);
    }
    let mut m = Machine::with(Config::for_lps(1), &ImageSpec::default());
    m.boot_linux();
    m.ok(0, call(Leaf::SysShutdown));
    match m.install(&file, 1) {
        Answer::Status(status) => Fate::Installed(status),
        other => panic!("{mutation:?}: {other:?}"),
    }
}

#[test]
fn every_mutation_has_its_fate() {
    use Fate::{Installed, Unread};
    use ImageError as E;
    use Mutation as M;
    let pages = |sigstruct, module| Unread(E::PageCounts { sigstruct, module });
    let size = |expected: u64, actual: u64| Unread(E::Size { expected: expected * 4096, actual: actual * 4096 });
    let table = [
        (M::Magic, Unread(E::NotABlob)),
        (M::Version, Unread(E::NotABlob)),
        (M::HeaderReserved, Unread(E::Reserved)),
        (M::Checksum, Unread(E::Checksum(0xFFFF))),
        (M::Truncated, size(4, 3)),
        (M::Padded, size(4, 5)),
        (M::SigstructPagesZero, pages(0, 2)),
        (M::SigstructPagesTwo, pages(2, 1)),
        (M::SigstructPagesWrap, pages((1 << 20) + 1, 2)),
        (M::NoSigstruct, pages(0, 2)),
        (M::ModulePagesOneMore, size(5, 4)),
        (M::ModulePagesTooMany, pages(1, 497)),
        (M::ModulePagesHuge, pages(1, (1 << 20) - 1)),
        (M::ModulePagesWrap, pages(1, (1 << 20) + 2)),
        (M::NoModule, pages(1, 0)),
        (M::BareHeader, pages(0, 0)),
        (M::Signature, Installed(Status::EBADSIG)),
        (M::SignedField, Installed(Status::EBADSIG)),
        (M::Modulus, Installed(Status::EBADSIG)),
        (M::Hash, Installed(Status::EBADHASH)),
        (M::SigstructReserved40, Installed(Status::EBADSIG)),
        (M::SigstructReserved978, Installed(Status::EBADSIG)),
        (M::SigstructReserved989, Installed(Status::EBADSIG)),
        (M::SigstructReserved, Installed(Status::EBADSIG)),
        (M::SigstructAttributes, Installed(Status::EBADSIG)),
        (M::SigstructVersion, Installed(Status::EBADSIG)),
        (M::SigstructPadding, Installed(Status::SUCCESS)),
        (M::Elf, Installed(Status::EBADPARAM)),
    ];
    assert_eq!(table.each_ref().map(|row| row.0), Mutation::ALL);
    for (mutation, expected) in table {
        assert_eq!(fate(mutation), expected, "{mutation:?}");
    }
}

#[test]
fn sizes_fit_where_the_mutation_says_so() {
    use Mutation as M;
    // As the kernel computes it: in 32 bits.
    for (mutation, fits) in [
        (M::Truncated, false),
        (M::Padded, false),
        (M::SigstructPagesZero, false),
        (M::SigstructPagesTwo, true),
        (M::SigstructPagesWrap, true),
        (M::NoSigstruct, true),
        (M::ModulePagesOneMore, false),
        (M::ModulePagesTooMany, true),
        (M::ModulePagesHuge, false),
        (M::ModulePagesWrap, true),
        (M::NoModule, true),
        (M::BareHeader, true),
        (M::Hash, true),
    ] {
        let file = mutation.apply(&small());
        let bytes = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().expect("4 bytes")).wrapping_mul(4096);
        let told = 4096 + u64::from(bytes(12)) + u64::from(bytes(16));
        assert_eq!(told == file.len() as u64, fits, "{mutation:?}");
    }
}

#[test]
fn only_what_a_mutation_names_is_wrong() {
    for mutation in Mutation::ALL {
        let file = mutation.apply(&small());
        let sum_fits = with_checksum(file.clone()) == file;
        assert_eq!(sum_fits, !matches!(mutation, Mutation::Checksum | Mutation::Truncated), "{mutation:?}");
        assert_ne!(file, small(), "{mutation:?}");
    }
}

#[test]
fn mutations_that_are_not_signed_again_change_one_byte() {
    use Mutation as M;
    let good = small();
    for (mutation, expected) in [
        (M::Magic, (4, 1)),
        (M::Version, (0, 0xFF)),
        (M::HeaderReserved, (4000, 1)),
        (M::Signature, (PAGE + 516, 1)),
        (M::SignedField, (PAGE + 20, 1)),
        (M::Modulus, (PAGE + 130, 1)),
        (M::Hash, (4 * PAGE - 1, 1)),
        (M::SigstructPadding, (2 * PAGE - 1, 1)),
        (M::SigstructPagesZero, (12, 1)),
    ] {
        let file = mutation.apply(&good);
        let bytes = good.iter().zip(&file).enumerate();
        let changed: Vec<_> = bytes.filter(|(_, (a, b))| a != b).map(|(at, (a, b))| (at, a ^ b)).collect();
        let beside: Vec<_> = changed.into_iter().filter(|(at, _)| !(2..4).contains(at)).collect();
        assert_eq!(beside, [expected], "{mutation:?}");
    }
    assert_eq!(Mutation::Checksum.apply(&good)[4..], good[4..]);
    assert_eq!(Mutation::Magic.apply(&version_1(0))[8], b'T' ^ 1, "where version 0x100 has it");
}

#[test]
fn a_version_in_the_sigstruct_can_be_told_to_p_seamldr_2_0() {
    let config = Config { loader: LoaderGeneration::V2_0, ..Config::for_lps(1) };
    let mut m = Machine::with(config, &ImageSpec::default());
    m.boot_linux();
    m.ok(0, call(Leaf::SysShutdown));
    let file = Mutation::SigstructVersion.apply(&small());
    assert_eq!(m.install(&file, 1), Answer::Status(Status::SUCCESS));
}

#[test]
fn files_of_both_versions_can_be_read() {
    let new = Image::parse(&small()).expect("version 0x200");
    for gap in [0, PAGE] {
        assert_eq!(Image::parse(&version_1(gap)).as_ref(), Ok(&new), "gap of {gap}");
    }
    assert_eq!(new.to_file(), small());
    for pages in [496, 2] {
        let file = image(&ImageSpec { module_pages: pages, ..ImageSpec::default() });
        assert_eq!(Image::parse(&file).map(|image| image.module.len()), Ok(pages as usize * PAGE));
    }
}

#[test]
fn files_of_version_0x100_cannot_be_read_when_their_header_does_not_fit() {
    let put = |at: usize, value: u32| {
        let mut file = version_1(0);
        file[at..at + 4].copy_from_slice(&value.to_le_bytes());
        with_checksum(file)
    };
    let cut = |size: usize| {
        let mut file = version_1(PAGE);
        file.resize(size, 0);
        file[16..20].copy_from_slice(&(size as u32).to_le_bytes());
        with_checksum(file)
    };
    let pages = |module| Err(ImageError::PageCounts { sigstruct: 1, module });
    let (page, size) = (PAGE as u32, 4 * 4096);
    for (name, file, error) in [
        ("mark", put(8, 0), Err(ImageError::NotABlob)),
        ("length", put(16, size + page), Err(ImageError::Size { expected: 5 * 4096, actual: 4 * 4096 })),
        ("module in the sigstruct's page", put(4, page), pages(3)),
        ("module not at a page", put(4, 2 * page + 8), pages(1)),
        ("module at the end", put(4, size), pages(0)),
        ("module behind the end", put(4, size + page), pages(0)),
        ("half a page at the end", cut(4 * PAGE + 2048), pages(1)),
        ("too many pages", cut((3 + 497) * PAGE), pages(497)),
        ("header's reserved bytes", put(20, 1), Err(ImageError::Reserved)),
        ("padding behind the sigstruct", put(PAGE + 2048, 1), Err(ImageError::Reserved)),
        ("last padding", put(2 * PAGE - 4, 1 << 24), Err(ImageError::Reserved)),
        (
            "header only",
            with_checksum(version_1(0)[..PAGE].to_vec()),
            Err(ImageError::Size { expected: 4 * 4096, actual: 4096 }),
        ),
        ("most pages", cut((3 + 496) * PAGE), Ok(496)),
    ] {
        let read = Image::parse(&file).map(|image| image.module.len() / PAGE);
        assert_eq!(read, error, "{name}");
    }
    assert_eq!(Image::parse(&small()[..PAGE - 1]), Err(ImageError::TooShort(PAGE - 1)));
    assert_eq!(Image::parse(&version_1(0)[..PAGE - 1]), Err(ImageError::TooShort(PAGE - 1)));
}

#[test]
fn equal_specs_give_equal_bytes_on_every_machine() {
    use sha2::{Digest, Sha384};
    let hash = |spec: &ImageSpec| hex::encode(&Sha384::digest(image(spec))[..12]);
    assert_eq!(hash(&ImageSpec::default()), "bc26888c17345bc634587033");
    assert_eq!(hash(&ImageSpec { module_pages: 2, ..ImageSpec::version(1, 5, 7) }), "7197e285ebdd20df33f9c012");
}
