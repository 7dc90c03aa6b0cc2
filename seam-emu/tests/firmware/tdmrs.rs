//! TDMRs and their PAMTs, one against another.

use crate::common::{Answer, GLOBAL_KEYID, Machine, TDMR_ARRAY, TDMR_INFO, call};
use seam_emu::abi::tdmr::{ReservedArea, TdmrInfo};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::{Config, MemoryRange, Regs};

const KB: u64 = 1 << 10;
const MB: u64 = 1 << 20;
const GB: u64 = 1 << 30;

/// PAMT sizes of a TDMR of 1 GB.
const P4K: u64 = 4 * MB;
const P2M: u64 = 8 * KB;
const P1G: u64 = 4 * KB;

/// 1 GB from `base`, its PAMTs one after the other from `pamts`.
fn tdmr(base: u64, pamts: u64) -> TdmrInfo {
    let mut info = TdmrInfo { base, size: GB, ..TdmrInfo::default() };
    (info.pamt_4k_base, info.pamt_4k_size) = (pamts, P4K);
    (info.pamt_2m_base, info.pamt_2m_size) = (pamts + P4K, P2M);
    (info.pamt_1g_base, info.pamt_1g_size) = (pamts + P4K + P2M, P1G);
    info
}

/// Three TDMRs of 1 GB; the first two GB's PAMTs lie in the fourth, which no TDMR covers.
fn three() -> [TdmrInfo; 3] {
    [tdmr(0, 3 * GB), tdmr(GB, 3 * GB + 16 * MB), tdmr(2 * GB, 3 * GB + 32 * MB)]
}

/// 4 GB of memory in three ranges that touch, and an initialised module.
fn machine() -> Machine {
    let memory = [(0, GB), (GB, 2 * GB), (3 * GB, GB)].map(|(base, size)| MemoryRange { base, size });
    let mut m = Machine::with(Config { memory: memory.to_vec(), ..Config::for_lps(1) }, &ImageSpec::default());
    m.init_lps();
    m
}

/// CONFIG with these TDMRs.
fn config(m: &mut Machine, infos: &[TdmrInfo]) -> Answer {
    for (i, info) in infos.iter().enumerate() {
        let at = TDMR_INFO + 512 * i as u64;
        m.put(TDMR_ARRAY + 8 * i as u64, &at);
        m.put(at, info);
    }
    m.call(0, Regs { rcx: TDMR_ARRAY, rdx: infos.len() as u64, r8: GLOBAL_KEYID, ..call(Leaf::SysConfig) })
}

/// What is changed, and what comes of it.
type Case = (&'static str, fn(&mut [TdmrInfo; 3]), Status);

const OK: Status = Status::SUCCESS;

fn check(cases: &[Case]) {
    let fresh = machine();
    for (name, change, expected) in cases {
        let mut infos = three();
        change(&mut infos);
        let mut m = fresh.clone();
        assert_eq!(config(&mut m, &infos), Answer::Status(*expected), "{name}");
        assert_eq!(m.firmware.module_state(), if *expected == OK { 2 } else { 1 }, "{name}");
    }
}

#[test]
fn tdmrs_follow_one_another() {
    check(&[
        ("as they are", |_| {}, OK),
        ("swapped", |t| t.swap(1, 2), Status::NON_ORDERED_TDMR.info(2, 0, 0)),
        ("the same base", |t| t[2].base = GB, Status::NON_ORDERED_TDMR.info(2, 0, 0)),
        ("half a granule", |t| t[1].base += GB / 2, Status::INVALID_TDMR.info(1, 0, 0)),
        ("half a granule long", |t| t[1].size = GB / 2, Status::INVALID_TDMR.info(1, 0, 0)),
        ("no size", |t| t[1].size = 0, Status::INVALID_TDMR.info(1, 0, 0)),
        ("a gap between", |t| t[2] = tdmr(4 * GB, 3 * GB + 32 * MB), Status::TDMR_OUTSIDE_CMRS.info(2, 0, 0)),
        ("the last address", |t| t[2].base = (1 << 46) - GB, Status::TDMR_OUTSIDE_CMRS.info(2, 0, 0)),
        ("one more", |t| t[2].base = 1 << 46, Status::INVALID_TDMR.info(2, 0, 0)),
    ]);
}

#[test]
fn pamts_are_large_enough_and_aligned() {
    check(&[
        ("4 KB entries, less", |t| t[1].pamt_4k_size -= 4 * KB, Status::INVALID_PAMT.info(1, 0, 0)),
        ("2 MB entries, less", |t| t[1].pamt_2m_size -= 4 * KB, Status::INVALID_PAMT.info(1, 1, 0)),
        ("1 GB entries, none", |t| t[1].pamt_1g_size = 0, Status::INVALID_PAMT.info(1, 2, 0)),
        ("more than needed", |t| t[1].pamt_1g_size *= 2, OK),
        ("4 KB unaligned", |t| t[1].pamt_4k_base += 8, Status::INVALID_PAMT.info(1, 0, 0)),
        ("2 MB size unaligned", |t| t[1].pamt_2m_size += 8, Status::INVALID_PAMT.info(1, 1, 0)),
        ("around the end", |t| t[1].pamt_2m_base = !0xFFF, Status::INVALID_PAMT.info(1, 1, 0)),
        ("too high", |t| t[1].pamt_2m_base = 1 << 46, Status::INVALID_PAMT.info(1, 1, 0)),
        ("the last addresses", |t| t[1].pamt_2m_base = (1 << 46) - P2M, Status::PAMT_OUTSIDE_CMRS.info(1, 1, 0)),
        ("above memory", |t| t[2].pamt_4k_base = 4 * GB, Status::PAMT_OUTSIDE_CMRS.info(2, 0, 0)),
        ("half above memory", |t| t[2].pamt_4k_base = 4 * GB - P4K / 2, Status::PAMT_OUTSIDE_CMRS.info(2, 0, 0)),
        ("all of the last memory", |t| t[2].pamt_4k_base = 4 * GB - P4K, OK),
    ]);
}

#[test]
fn pamts_do_not_overlap() {
    check(&[
        ("4 KB and 2 MB", |t| t[1].pamt_2m_base = t[1].pamt_4k_base, Status::PAMT_OVERLAP.info(1, 0, 1)),
        ("4 KB and 1 GB", |t| t[1].pamt_1g_base = t[1].pamt_4k_base + P4K - P1G, Status::PAMT_OVERLAP.info(1, 0, 1)),
        ("2 MB and 1 GB", |t| t[1].pamt_1g_base = t[1].pamt_2m_base, Status::PAMT_OVERLAP.info(1, 1, 1)),
        ("4 KB and an earlier one", |t| t[2].pamt_4k_base = t[1].pamt_4k_base, Status::PAMT_OVERLAP.info(2, 0, 1)),
        ("2 MB and an earlier 4 KB", |t| t[2].pamt_2m_base = t[0].pamt_4k_base, Status::PAMT_OVERLAP.info(2, 1, 0)),
        ("1 GB and an earlier 1 GB", |t| t[2].pamt_1g_base = t[0].pamt_1g_base, Status::PAMT_OVERLAP.info(2, 2, 0)),
        ("side by side", |t| t[2].pamt_1g_base = t[1].pamt_1g_base + P1G, OK),
    ]);
}

/// Areas of a TDMR that it does not use.
fn reserve(info: &mut TdmrInfo, areas: &[(u64, u64)]) {
    info.reserved = std::array::from_fn(|i| {
        areas.get(i).map_or(ReservedArea::default(), |&(offset, size)| ReservedArea { offset, size })
    });
}

#[test]
fn pamts_lie_where_no_tdmr_uses_memory() {
    check(&[
        ("in its own memory", |t| t[1].pamt_4k_base = GB, Status::PAMT_OVERLAP.info(1, 0, 1)),
        ("in an earlier one's", |t| t[1].pamt_4k_base = 0, Status::PAMT_OVERLAP.info(1, 0, 0)),
        ("in a later one's", |t| t[0].pamt_2m_base = GB, Status::PAMT_OVERLAP.info(0, 1, 1)),
        ("the last bytes", |t| t[1].pamt_1g_base = 2 * GB - P1G, Status::PAMT_OVERLAP.info(1, 2, 1)),
        (
            "in a reserved area",
            |t| {
                t[1].pamt_4k_base = GB + 8 * MB;
                reserve(&mut t[1], &[(8 * MB, P4K)]);
            },
            OK,
        ),
        (
            "one page beyond it",
            |t| {
                t[1].pamt_4k_base = GB + 8 * MB;
                reserve(&mut t[1], &[(8 * MB, P4K - 4 * KB)]);
            },
            Status::PAMT_OVERLAP.info(1, 0, 1),
        ),
        (
            "between two areas",
            |t| {
                t[1].pamt_1g_base = GB + MB;
                reserve(&mut t[1], &[(0, MB), (MB + P1G, MB)]);
            },
            Status::PAMT_OVERLAP.info(1, 2, 1),
        ),
        (
            "in a later one's area",
            |t| {
                t[0].pamt_1g_base = 2 * GB + MB;
                reserve(&mut t[2], &[(MB, P1G)]);
            },
            OK,
        ),
    ]);
}

#[test]
fn reserved_areas_are_whole_ordered_and_inside() {
    let status = |second| Status::INVALID_RESERVED_IN_TDMR.info(1, second, 0);
    let order = |second| Status::NON_ORDERED_RESERVED_IN_TDMR.info(1, second, 0);
    let fresh = machine();
    for (name, areas, expected) in [
        ("all of it", &[(0, GB)][..], OK),
        ("touching", &[(0, MB), (MB, MB)], OK),
        ("the end", &[(GB - MB, MB)], OK),
        ("beyond the end", &[(GB - MB, MB + 4 * KB)], status(0)),
        ("offset unaligned", &[(0, MB), (MB + 8, MB)], status(1)),
        ("size unaligned", &[(0, MB + 8)], status(0)),
        ("around the end", &[(!0xFFF, 4 * KB)], status(0)),
        ("overlapping", &[(0, MB), (MB - 4 * KB, MB)], order(1)),
        ("out of order", &[(2 * MB, MB), (0, MB)], order(1)),
        ("a null one between", &[(0, MB), (0, 0), (2 * MB, MB)], order(1)),
        ("16 of them", &[(0, MB); 1], OK),
    ] {
        let mut infos = three();
        reserve(&mut infos[1], areas);
        assert_eq!(config(&mut fresh.clone(), &infos), Answer::Status(expected), "{name}");
    }
    let mut infos = three();
    reserve(&mut infos[1], &std::array::from_fn::<_, 16, _>(|i| (2 * MB * i as u64, MB)));
    assert_eq!(config(&mut fresh.clone(), &infos), Answer::Status(OK), "as many as there can be");
}

#[test]
fn memory_that_touches_is_one() {
    let mut m = machine();
    let one = TdmrInfo {
        size: 3 * GB,
        pamt_4k_size: 3 * P4K,
        pamt_2m_base: 3 * GB + 64 * MB,
        pamt_2m_size: 3 * P2M,
        ..tdmr(0, 3 * GB)
    };
    let one = TdmrInfo { pamt_1g_base: 3 * GB + 128 * MB, ..one };
    assert_eq!(config(&mut m, &[one]), Answer::Status(OK));
    let mut apart = Machine::new(1);
    apart.init_lps();
    let low = tdmr(0, GB);
    assert_eq!(config(&mut apart, &[low]), Answer::Status(Status::TDMR_OUTSIDE_CMRS), "the first megabyte is none");
}

#[test]
fn pages_can_be_used_as_far_as_their_tdmr_is_initialized() {
    let mut m = machine();
    let mut infos = three();
    reserve(&mut infos[1], &[(MB, MB)]);
    assert_eq!(config(&mut m, &infos), Answer::Status(OK));
    m.ok(0, call(Leaf::SysKeyConfig));
    let kind = |m: &mut Machine, page: u64| match m.call(0, Regs { rcx: page, ..call(Leaf::PhymemPageRdmd) }) {
        Answer::Status(OK) => Some(m.regs.rcx),
        _ => None,
    };
    assert_eq!(kind(&mut m, GB), None);
    for step in 1..=256 {
        m.ok(0, Regs { rcx: GB, ..call(Leaf::SysTdmrInit) });
        assert_eq!(m.regs.rdx, if step == 256 { 2 * GB } else { GB }, "step {step}");
        assert_eq!(kind(&mut m, GB).is_some(), step == 256, "in whole gigabytes only");
    }
    for (page, expected) in [
        (GB - 4 * KB, None),
        (GB, Some(0)),
        (GB + MB - 4 * KB, Some(0)),
        (GB + MB, Some(1)),
        (GB + 2 * MB - 4 * KB, Some(1)),
        (GB + 2 * MB, Some(0)),
        (2 * GB - 4 * KB, Some(0)),
        (2 * GB, None),
    ] {
        assert_eq!(kind(&mut m, page), expected, "{page:#x}");
    }
}

#[test]
fn the_smallest_handoff_area_holds_as_many_tdmrs_as_there_can_be() {
    let spec = ImageSpec { num_handoff_pages: 13, ..ImageSpec::default() };
    let memory = vec![MemoryRange { base: 0, size: 66 * GB }];
    let mut m = Machine::with(Config { memory, ..Config::for_lps(1) }, &spec);
    m.init_lps();
    let infos: Vec<TdmrInfo> = (0..64)
        .map(|i| {
            let mut info = tdmr(i * GB, 65 * GB + i * 8 * MB);
            reserve(&mut info, &std::array::from_fn::<_, 16, _>(|j| (GB - (32 - 2 * j as u64) * MB, MB)));
            info
        })
        .collect();
    assert_eq!(config(&mut m, &infos), Answer::Status(OK));
    m.ok(0, call(Leaf::SysKeyConfig));
    m.ok(0, call(Leaf::SysShutdown));
    assert_eq!(m.install(&crate::common::image(&spec), 1), Answer::Status(OK));
    m.init_lps();
    assert_eq!(m.field(0x8900_0002_0000_0006), 53_386, "the same whatever there is");
    m.ok(0, call(Leaf::SysUpdate));
}
