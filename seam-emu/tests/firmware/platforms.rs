//! Platforms that can exist and platforms that cannot.

use crate::common::image;
use seam_emu::image::ImageSpec;
use seam_emu::{BootError, Config, ConfigError as E, Durations, Firmware, LogicalProcessor, MemoryRange};

/// What is changed on a platform of 4 LPs, and what comes of it.
type Case = (&'static str, fn(&mut Config), Result<(), E>);

fn check(cases: &[Case]) {
    for (name, change, expected) in cases {
        let mut config = Config::for_lps(4);
        change(&mut config);
        assert_eq!(config.validate(), *expected, "{name}");
    }
}

const fn range(base: u64, size: u64) -> MemoryRange {
    MemoryRange { base, size }
}

const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

#[test]
fn lps_are_counted_named_and_packed() {
    check(&[
        ("no LP", |c| c.lps.clear(), Err(E::LpCount(0))),
        ("most LPs", |c| c.lps = Config::for_lps(1024).lps, Ok(())),
        ("too many", |c| c.lps = Config::for_lps(1025).lps, Err(E::LpCount(1025))),
        ("package 8", |c| c.lps[3].package = 8, Err(E::TooManyPackages(8))),
        ("package 7 alone", |c| c.lps[3].package = 7, Err(E::EmptyPackage(1))),
        ("packages 0 to 3", |c| (0..4).for_each(|i| c.lps[i].package = i as u32), Ok(())),
        ("no package 0", |c| c.lps.iter_mut().for_each(|lp| lp.package = 1), Err(E::EmptyPackage(0))),
        ("one id twice", |c| c.lps[3].apic_id = 1, Err(E::DuplicateApicId(1))),
        ("ids in any order", |c| c.lps.reverse(), Ok(())),
        ("no LP ran the ACM", |c| c.acm_x2apicid = 4, Err(E::NoSuchAcmLp(4))),
        ("the last ran it", |c| c.acm_x2apicid = 3, Ok(())),
    ]);
    let lp = |apic_id, package| LogicalProcessor { apic_id, package };
    let two = Config { lps: vec![lp(0, 0), lp(1, 1), lp(2, 1)], ..Config::default() };
    assert_eq!((two.packages(), Config::for_lps(3).packages()), (2, 1));
    assert_eq!(Config::default(), Config::for_lps(4));
}

#[test]
fn keyids_fit_above_the_address() {
    /// 1 GB of memory below, the SEAM range above it, so that few address bits do.
    fn low(c: &mut Config) {
        c.memory = vec![range(0, GB)];
        c.seamrr = range(GB, 128 * MB);
    }
    check(&[
        ("one TDX KeyID", |c| c.tdx_keyids = 1, Err(E::TooFewKeyIds(1))),
        ("two", |c| c.tdx_keyids = 2, Ok(())),
        ("as many as fit", |c| (c.mktme_keyids, c.tdx_keyids) = (0, 63), Ok(())),
        ("one more", |c| c.mktme_keyids = 32, Err(E::KeyIdsDoNotFit { keyids: 65, bits: 46 })),
        ("45 bits", |c| (c.physical_address_bits, c.mktme_keyids) = (45, 95), Ok(())),
        (
            "45 bits and more",
            |c| (c.physical_address_bits, c.mktme_keyids) = (45, 96),
            Err(E::KeyIdsDoNotFit { keyids: 129, bits: 45 }),
        ),
        ("no room", |c| c.physical_address_bits = 52, Err(E::KeyIdsDoNotFit { keyids: 64, bits: 52 })),
        (
            "more than a physical address",
            |c| c.physical_address_bits = 53,
            Err(E::KeyIdsDoNotFit { keyids: 64, bits: 53 }),
        ),
        (
            "fewest bits",
            |c| {
                low(c);
                c.physical_address_bits = 32;
            },
            Ok(()),
        ),
        (
            "fewer",
            |c| {
                low(c);
                c.physical_address_bits = 31;
            },
            Err(E::KeyIdsDoNotFit { keyids: 64, bits: 31 }),
        ),
        (
            "KeyIDs of 16 bits",
            |c| {
                low(c);
                (c.physical_address_bits, c.mktme_keyids, c.tdx_keyids) = (32, 32767, 32768);
            },
            Ok(()),
        ),
        (
            "of 17 bits",
            |c| {
                low(c);
                (c.physical_address_bits, c.mktme_keyids, c.tdx_keyids) = (32, 32768, 32768);
            },
            Err(E::KeyIdsDoNotFit { keyids: 65537, bits: 32 }),
        ),
        ("no step", |c| c.script_steps = 0, Err(E::NoSteps)),
        ("one step", |c| c.script_steps = 1, Ok(())),
    ]);
}

#[test]
fn memory_is_whole_ordered_and_in_reach() {
    check(&[
        ("none", |c| c.memory.clear(), Err(E::MemoryCount(0))),
        ("32 ranges", |c| c.memory = (0..32).map(|i| range(i * 2 * MB, MB)).collect(), Ok(())),
        ("33 ranges", |c| c.memory = (0..33).map(|i| range(i * 2 * MB, MB)).collect(), Err(E::MemoryCount(33))),
        ("empty", |c| c.memory[0].size = 0, Err(E::Memory(range(MB, 0)))),
        ("base unaligned", |c| c.memory = vec![range(2048, MB)], Err(E::Memory(range(2048, MB)))),
        ("size unaligned", |c| c.memory = vec![range(MB, 2048)], Err(E::Memory(range(MB, 2048)))),
        ("touching", |c| c.memory = vec![range(0, MB), range(MB, MB)], Ok(())),
        ("overlapping", |c| c.memory = vec![range(0, 2 * MB), range(MB, MB)], Err(E::Memory(range(MB, MB)))),
        ("to the limit", |c| c.memory = vec![range(1 << 45, 1 << 45)], Ok(())),
        (
            "beyond",
            |c| c.memory = vec![range(1 << 45, (1 << 45) + 4096)],
            Err(E::Memory(range(1 << 45, (1 << 45) + 4096))),
        ),
        ("around", |c| c.memory = vec![range(!4095, 4096)], Err(E::Memory(range(!4095, 4096)))),
    ]);
}

#[test]
fn the_seam_range_is_one_that_its_msrs_can_express() {
    const BASE: u64 = 0x20_0000_0000;
    check(&[
        ("32 MB", |c| c.seamrr.size = 32 * MB, Ok(())),
        ("16 MB", |c| c.seamrr.size = 16 * MB, Err(E::SeamRange(range(BASE, 16 * MB)))),
        ("no power of two", |c| c.seamrr.size = 96 * MB, Err(E::SeamRange(range(BASE, 96 * MB)))),
        ("unaligned", |c| c.seamrr.base += 64 * MB, Err(E::SeamRange(range(BASE + 64 * MB, 128 * MB)))),
        ("to the limit", |c| c.seamrr = range((1 << 46) - 128 * MB, 128 * MB), Ok(())),
        ("beyond", |c| c.seamrr = range(1 << 46, 128 * MB), Err(E::SeamRange(range(1 << 46, 128 * MB)))),
        (
            "around",
            |c| c.seamrr = range(!(128 * MB - 1), 128 * MB),
            Err(E::SeamRange(range(!(128 * MB - 1), 128 * MB))),
        ),
        ("in RAM", |c| c.seamrr.base = GB, Err(E::SeamRangeInRam(range(MB, 2 * GB - MB)))),
        ("right above RAM", |c| c.seamrr.base = 2 * GB, Ok(())),
        (
            "below RAM",
            |c| {
                c.memory[0] = range(GB, GB);
                c.seamrr.base = GB - 128 * MB;
            },
            Ok(()),
        ),
        (
            "its last page in RAM",
            |c| {
                c.memory[0] = range(GB - 4096, GB);
                c.seamrr.base = GB - 128 * MB;
            },
            Err(E::SeamRangeInRam(range(GB - 4096, GB))),
        ),
    ]);
}

#[test]
fn ranges_hold_and_overlap() {
    let it = range(100, 50);
    assert_eq!(it.end(), 150);
    for (base, size, holds, overlaps) in [
        (100, 50, true, true),
        (149, 1, true, true),
        (149, 2, false, true),
        (99, 2, false, true),
        (99, 1, false, false),
        (150, 1, false, false),
        (u64::MAX, 2, false, false),
        (120, u64::MAX, false, true),
        (0, 1000, false, true),
    ] {
        assert_eq!((it.holds(base, size), it.overlaps(base, size)), (holds, overlaps), "{base} {size}");
    }
}

#[test]
fn durations_name_leaves() {
    let mut config = Config::for_lps(1);
    config.durations.leaf_ns.insert("TDH.SYS.RD".to_owned(), 1);
    assert_eq!(config.validate(), Ok(()));
    config.durations.leaf_ns.insert("TDH.SYS.READ".to_owned(), 1);
    assert_eq!(config.validate(), Err(E::UnknownLeaf("TDH.SYS.READ".to_owned())));
    assert!(Durations::realistic().leaf_ns["SEAMLDR.INSTALL"] > Durations::realistic().default_ns);
}

#[test]
fn a_platform_that_cannot_exist_does_not_boot() {
    let file = image(&ImageSpec::default());
    let boot = |config, file: &[u8]| Firmware::boot(config, file).map(drop);
    assert_eq!(boot(Config { lps: Vec::new(), ..Config::default() }, &file), Err(BootError::Config(E::LpCount(0))));
    assert!(matches!(boot(Config::default(), &file[..4096]), Err(BootError::Image(_))));
    assert_eq!(boot(Config::default(), &file), Ok(()));
}
