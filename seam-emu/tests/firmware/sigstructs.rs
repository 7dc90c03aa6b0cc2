//! The sigstruct, field by field: what P-SEAMLDR takes and what it refuses, each properly signed.

use crate::common::{Answer, Machine, call, image};
use seam_emu::abi::sigstruct::SigStruct;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{Image, ImageSpec};
use seam_emu::{Config, LoaderGeneration, MemoryRange};

/// A change of the sigstruct, and the status of an INSTALL with it.
type Case = (&'static str, fn(&mut SigStruct), Status);

/// A small image whose sigstruct is changed and signed again.
fn signed(change: fn(&mut SigStruct)) -> Vec<u8> {
    let mut image = Image::parse(&image(&ImageSpec { module_pages: 3, ..ImageSpec::version(1, 5, 7) })).expect("valid");
    change(&mut image.sigstruct);
    image.sign();
    image.to_file()
}

/// A machine of one LP whose module is shut down.
fn shut(config: Config) -> Machine {
    let mut m = Machine::with(config, &ImageSpec::default());
    m.boot_linux();
    m.ok(0, call(Leaf::SysShutdown));
    m
}

fn check(config: Config, cases: &[Case]) {
    let shut = shut(config);
    for (name, change, expected) in cases {
        let answer = shut.clone().install(&signed(*change), 1);
        assert_eq!(answer, Answer::Status(*expected), "{name}");
    }
}

const OK: Status = Status::SUCCESS;
const BAD: Status = Status::EBADSIG;

#[test]
fn fields_that_admit_one_value_can_have_no_other() {
    check(
        Config::for_lps(1),
        &[
            ("nothing", |_| {}, OK),
            ("header type", |s| s.header_type = 7.into(), BAD),
            ("header length", |s| s.header_length = 0xE0.into(), BAD),
            ("header version", |s| s.header_version = 0x1_0001.into(), BAD),
            ("module type", |s| s.module_type = 1.into(), BAD),
            ("debug", |s| s.module_type = (1 << 31).into(), BAD),
            ("vendor", |s| s.module_vendor = 0x8087.into(), BAD),
            ("size", |s| s.size = 0x201.into(), BAD),
            ("key size", |s| s.key_size = 0x61.into(), BAD),
            ("modulus size", |s| s.modulus_size = 0x61.into(), BAD),
            ("exponent size", |s| s.exponent_size = 2.into(), BAD),
            ("exponent", |s| s.exponent = 3.into(), BAD),
            ("attributes", |s| s.attributes = (1 << 63).into(), BAD),
            ("version", |s| s.module_version[7] = 1, BAD),
            ("reserved, first", |s| s.reserved_0[87] = 1, BAD),
            ("reserved, second", |s| s.reserved_1[5] = 1, BAD),
            ("reserved, third", |s| s.reserved_2 = 1, BAD),
            ("reserved, fourth", |s| s.reserved_3[15] = 1, BAD),
            ("date", |s| s.date = 0.into(), OK),
            ("entry", |s| s.rip_offset = 1.into(), OK),
            ("limits", |s| (s.max_tdmrs, s.pamt_entry_size_4k) = (1.into(), 1.into()), OK),
        ],
    );
}

#[test]
fn offsets_lie_in_the_module() {
    // The module has 3 pages.
    let both = |gdt: u32, wrapper: u32| {
        let mut image = Image::parse(&signed(|_| {})).expect("valid");
        (image.sigstruct.gdt_idt_offset, image.sigstruct.fault_wrapper_offset) = (gdt.into(), wrapper.into());
        image.sign();
        image.to_file()
    };
    let shut = shut(Config::for_lps(1));
    for (gdt, wrapper, expected) in [
        (0, 0, OK),
        (4096, 64, OK),
        (8192, 3 * 4096 - 512, OK),
        (3 * 4096, 64, BAD),
        (8192, 3 * 4096 - 511, BAD),
        (4096 + 8, 64, BAD),
        (4096, 0, BAD),
        (0, 64, BAD),
    ] {
        let answer = shut.clone().install(&both(gdt, wrapper), 1);
        assert_eq!(answer, Answer::Status(expected), "{gdt:#x} {wrapper:#x}");
    }
}

/// Sets the CPU table.
fn table(s: &mut SigStruct, rows: &[u32]) {
    s.cpuid_table_size = (rows.len() as u32).into();
    s.cpuid_table = std::array::from_fn(|i| rows.get(i).copied().unwrap_or(0).into());
}

#[test]
fn the_cpu_table_names_the_cpu() {
    check(
        Config::for_lps(1),
        &[
            ("one row", |s| table(s, &[0x000C_06F0]), OK),
            ("second row", |s| table(s, &[0x0008_06F0, 0x000C_06F0]), OK),
            ("another stepping", |s| table(s, &[0x000C_06FF]), OK),
            ("another model", |s| table(s, &[0x000C_06E2]), Status::EUNSUPCPU),
            (
                "behind the table",
                |s| {
                    table(s, &[0x0008_06F0, 0x000C_06F0]);
                    s.cpuid_table_size = 1.into();
                },
                Status::EUNSUPCPU,
            ),
            ("full", |s| s.cpuid_table_size = 255.into(), OK),
            ("too full", |s| s.cpuid_table_size = 256.into(), BAD),
            ("empty", |s| s.cpuid_table_size = 0.into(), BAD),
        ],
    );
    check(
        Config { debug_unlocked: true, ..Config::for_lps(1) },
        &[
            ("debug", |s| s.module_type = (1 << 31).into(), OK),
            ("debug for any CPU", |s| (s.module_type, s.cpuid_table_size) = ((1 << 31).into(), 0.into()), OK),
            ("for any CPU", |s| s.cpuid_table_size = 0.into(), BAD),
        ],
    );
}

#[test]
fn versions_and_svns_follow_their_rules() {
    check(
        Config::for_lps(1),
        &[
            ("equal handoff versions", |s| s.module_hv = 0.into(), OK),
            ("a range", |s| s.module_hv = 3.into(), OK),
            ("turned around", |s| (s.module_hv, s.min_update_hv) = (1.into(), 2.into()), BAD),
            ("above", |s| (s.module_hv, s.min_update_hv) = (2.into(), 1.into()), Status::EBADHANDOFF),
            ("major SVN 2", |s| s.major_svn = 2, Status::EUNSUPPORTED),
            ("major SVN 0", |s| s.major_svn = 0, Status::EUNSUPPORTED),
            ("minor SVN 4", |s| s.minor_svn = 4, BAD),
            ("minor SVN 255", |s| s.minor_svn = 255, OK),
        ],
    );
    check(
        Config { loader: LoaderGeneration::V1_5, ..Config::for_lps(1) },
        &[
            ("version on 1.5", |s| s.module_version[0] = 1, BAD),
            ("major SVN 2 on 1.5", |s| s.major_svn = 2, Status::EBADCALL),
        ],
    );
    check(
        Config { loader: LoaderGeneration::V2_0, ..Config::for_lps(1) },
        &[
            ("version on 2.0", |s| s.module_version = [1; 8], OK),
            ("major SVN 2", |s| s.major_svn = 2, Status::EUNSUPPORTED),
        ],
    );
}

#[test]
fn a_module_that_does_not_fit_is_refused_in_time() {
    check(
        Config::for_lps(1),
        &[
            ("half the handoff area", |s| s.num_handoff_pages = 30_000.into(), OK),
            ("twice that", |s| s.num_handoff_pages = 60_000.into(), Status::ENOMEM),
        ],
    );
    // Where it fits, all of it counts: the module says that its handoff area is large enough.
    let large = MemoryRange { base: 0x20_0000_0000, size: 512 << 20 };
    let mut m = shut(Config { seamrr: large, ..Config::for_lps(1) });
    let file = signed(|s| s.num_handoff_pages = u16::MAX.into());
    assert_eq!(m.install(&file, 1), Answer::Status(OK));
    m.init_lps();
    m.ok(0, call(Leaf::SysUpdate));
    assert_eq!(m.field(0x8900_0001_0000_0003), 0xFFFF);
}

#[test]
fn the_sigstruct_agrees_with_what_the_module_was_built_for() {
    // Built for handoff versions 1 to 2, no downgrade; the data takes 14 pages.
    let spec = ImageSpec { module_hv: 2, min_update_hv: 1, no_downgrade: true, ..ImageSpec::version(1, 5, 7) };
    let file = image(&spec);
    for (name, change, ok) in [
        ("as built", (|_| {}) as fn(&mut SigStruct), true),
        ("higher minimum", |s| s.min_update_hv = 2.into(), true),
        ("lower minimum", |s| s.min_update_hv = 0.into(), false),
        ("higher version", |s| s.module_hv = 3.into(), false),
        ("lower version", |s| s.module_hv = 1.into(), false),
        ("downgrade", |s| s.no_downgrade = 0, false),
        ("14 pages", |s| s.num_handoff_pages = 13.into(), true),
        ("13 pages", |s| s.num_handoff_pages = 12.into(), false),
    ] {
        let mut altered = Image::parse(&file).expect("valid");
        change(&mut altered.sigstruct);
        altered.sign();
        let mut m = Machine::new(1);
        m.call(0, call(Leaf::LdrCleanup));
        assert_eq!(m.install(&altered.to_file(), 0), Answer::Status(OK), "{name}");
        let expected = if ok { OK } else { Status::SYS_INCOMPATIBLE_SIGSTRUCT };
        assert_eq!(m.call(0, call(Leaf::SysInit)), Answer::Status(expected), "{name}");
    }
}
