//! Metadata: the value of every global field, and of the fields of TDs and vCPUs.

use crate::common::td::{Td, params};
use crate::common::{Answer, Machine, PAMT, call};
use seam_emu::abi::field::{Element, FieldId, FieldSet, Fields, NO_FIELD, SYS_FIELDS, SysField};
use seam_emu::abi::td_params::TdParams;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{CpuidConfig, ImageSpec};
use seam_emu::script::{Op, Script};
use seam_emu::{Config, LogicalProcessor, Regs};

/// First id, number of elements, and their values; those that are not listed are like the last.
const TABLE: &[(u64, u32, &[u64])] = &[
    (0x0000_0002_0000_0000, 1, &[1]),
    (0x0000_0002_0000_0001, 8, &[0x000C_06F2, 0]),
    (0x0800_0002_0000_0000, 1, &[0x8086]),
    (0x8800_0002_0000_0001, 1, &[20_250_101]),
    (0x8800_0001_0000_0002, 1, &[744]),
    (0x0800_0001_0000_0003, 1, &[5]),
    (0x0800_0001_0000_0004, 1, &[1]),
    (0x0800_0001_0000_0005, 1, &[6]),
    (0x0800_0001_0000_0006, 1, &[0]),
    (0x8900_0001_0000_0000, 1, &[0]),
    (0x8900_0001_0000_0001, 1, &[0]),
    (0x8900_0000_0000_0002, 1, &[0]),
    (0x8900_0001_0000_0003, 1, &[13]),
    (0x8900_0000_0000_0004, 1, &[0]),
    (0x8900_0001_0000_0005, 1, &[0]),
    (0x8900_0002_0000_0006, 1, &[0]),
    (0x0A00_0002_0000_0000, 1, &[0]),
    (0x0A00_0000_0000_0001, 1, &[1]),
    (0x0A00_0003_0000_0008, 1, &[0x22_6F3F_0FBF]),
    (0x9000_0001_0000_0000, 1, &[32]),
    (0x9000_0003_0000_0080, 32, &[0x10_0000, 0]),
    (0x9000_0003_0000_0100, 32, &[0x7FF0_0000, 0]),
    (0x9100_0001_0000_0008, 1, &[64]),
    (0x9100_0001_0000_0009, 1, &[16]),
    (0x9100_0001_0000_0010, 1, &[16]),
    (0x9100_0001_0000_0011, 1, &[16]),
    (0x9100_0001_0000_0012, 1, &[16]),
    (0x9800_0001_0000_0000, 1, &[0x1000]),
    (0x9800_0001_0000_0100, 1, &[0x6000]),
    (0x9800_0001_0000_0101, 1, &[0x1000]),
    (0x9800_0001_0000_0200, 1, &[0x6000]),
    (0x9800_0001_0000_0201, 1, &[0x3000]),
    (0x1900_0003_0000_0000, 1, &[0x8000_0000_7000_0001]),
    (0x1900_0003_0000_0001, 1, &[0]),
    (0x1900_0003_0000_0002, 1, &[0x6_DBE7]),
    (0x1900_0003_0000_0003, 1, &[3]),
    (0x9900_0001_0000_0004, 1, &[11]),
    (0x9900_0003_0000_0006, 1, &[7]),
    (0x9900_0003_0000_0007, 1, &[0]),
    (0x9900_0001_0000_0008, 1, &[576]),
    (
        0x9900_0003_0000_0400,
        32,
        &[
            0xFFFF_FFFF_0000_0001,
            4,
            0x1_0000_0004,
            0x2_0000_0004,
            0x3_0000_0004,
            7,
            0x1_0000_0007,
            0x2_0000_0007,
            0xFFFF_FFFF_0000_001C,
            0x23,
            0xFFFF_FFFF_8000_0008,
            u64::MAX,
        ],
    ),
    (
        0x9900_0003_0000_0500,
        64,
        &[
            0x00FF_0000_0FFF_3FFF,
            0xB844_0000_3104_4D88,
            0xFFFF_F000_FFFF_C3FF,
            0xFFFF_FFFB_FFFF_FFFF,
            0xFFFF_F000_FFFF_C3FF,
            0xFFFF_FFFB_FFFF_FFFF,
            0xFFFF_F000_FFFF_C3FF,
            0xFFFF_FFFB_FFFF_FFFF,
            0xFFFF_F000_FFFF_C3FF,
            0x7_FFFF_FFFF,
            0xDC2B_9B18_0000_0000,
            0x0005_411C_0241_7F65,
            0x1D30,
            0,
            0,
            0x28_0000_0000,
            0xFF,
            0,
            0xF,
            0,
            0x0200_00FF_0000,
            0,
        ],
    ),
    (0x9900_0003_0000_0600, 1, &[0x118_0010]),
    (0x9900_0001_0000_0800, 1, &[2]),
    (0x9900_0001_0000_0801, 1, &[0]),
    (0x9900_0003_0000_0810, 64, &[0x000C_06F2, 0x0008_06F8, 0]),
    (0x9900_0003_0000_0850, 64, &[0]),
    (0xA000_0003_0000_0000, 1, &[0]),
    (0x2000_0001_0000_0001, 1, &[0]),
    (0x2000_0001_0000_0002, 1, &[0]),
    (0x2000_0001_0000_0003, 1, &[0]),
    (0x2000_0001_0000_0004, 1, &[0]),
    (0xA000_0001_0000_0010, 1, &[512]),
    (0xA000_0000_0000_0020, 1, &[4]),
    (0xA000_0000_0000_0021, 1, &[2]),
    (0xA000_0000_0000_0022, 1, &[5]),
    (0xA100_0001_0000_0000, 1, &[1]),
    (0xA100_0003_0000_0001, 1, &[0x07FF_0000_0001]),
    (0xA100_0003_0000_0002, 1, &[0]),
    (0xA200_0001_0000_0000, 1, &[0x807F]),
    (0xA200_0003_0000_0001, 1, &[1]),
    (0xA200_0003_0000_0002, 1, &[0]),
    (0xA200_0003_0000_0003, 1, &[3]),
    (0xA200_0003_0000_0004, 1, &[0]),
    (0xA200_0003_0000_0005, 1, &[7]),
    (0xA200_0003_0000_0006, 1, &[0]),
];

#[test]
fn every_global_field_has_its_value() {
    let mut m = Machine::new(1);
    m.init_lps();
    let fields: Vec<&Fields> = SYS_FIELDS.iter().filter(|run| run.since <= FieldSet::MaxVcpus).collect();
    assert_eq!(TABLE.len(), fields.len());
    for (run, (first, count, values)) in fields.into_iter().zip(TABLE) {
        assert_eq!((run.first.0, run.len(), run.is_empty()), (*first, *count, false), "{:?}", run.name);
        for i in 0..u64::from(*count) {
            let value = values.get(i as usize).or(values.last()).expect("a value");
            assert_eq!(m.field(first + i), *value, "{:?} {i}", run.name);
        }
    }
    let none = Fields { name: SysField::NumPkgs, first: FieldId(0), fields: 0, elements: 1, since: FieldSet::Original };
    assert!(none.is_empty());
}

#[test]
fn fields_tell_of_the_module_and_the_platform() {
    let lps = (0..3).map(|i| LogicalProcessor { apic_id: i, package: i }).collect();
    let row = CpuidConfig { leaf: 0x24, subleaf: 1, eax: 0x11, ebx: 0x22, ecx: 0x33, edx: 0x44 };
    let spec = ImageSpec {
        build_date: 0x2026_0203,
        build_num: 0x123,
        module_hv: 0x0304,
        min_update_hv: 0x0203,
        no_downgrade: true,
        num_handoff_pages: 24,
        features0: 0x1234,
        max_vcpus: 300,
        attributes_fixed0: 0x1000_0000,
        extra_cpuid_config: vec![row],
        ..ImageSpec::version(2, 1, 9)
    };
    let mut m = Machine::with(Config { lps, ..Config::for_lps(3) }, &spec);
    m.boot_linux();
    m.ok(0, Regs { rcx: 0x0304, ..call(Leaf::SysShutdown) });
    assert_eq!(m.install(&crate::common::image(&spec), 1), Answer::Status(Status::SUCCESS));
    m.init_lps();
    for (id, value) in [
        (0x0000_0002_0000_0000, 3),
        (0x0000_0002_0000_0003, 0x000C_06F2),
        (0x0000_0002_0000_0004, 0),
        (0x8800_0002_0000_0001, 20_260_203),
        (0x8800_0001_0000_0002, 0x123),
        (0x8900_0001_0000_0000, 0x0304),
        (0x8900_0001_0000_0001, 0x0203),
        (0x8900_0000_0000_0002, 1),
        (0x8900_0001_0000_0003, 24),
        (0x8900_0000_0000_0004, 1),
        (0x8900_0001_0000_0005, 0x0304),
        (0x0A00_0003_0000_0008, 0x1234),
        (0x9900_0001_0000_0008, 300),
        (0x1900_0003_0000_0000, 0x1000_0000),
        (0x9900_0001_0000_0004, 12),
        (0x9900_0003_0000_040B, 0x1_0000_0024),
        (0x9900_0003_0000_040C, u64::MAX),
        (0x9900_0003_0000_0516, 0x22_0000_0011),
        (0x9900_0003_0000_0517, 0x44_0000_0033),
        (0x9900_0003_0000_0518, 0),
    ] {
        assert_eq!(m.field(id), value, "{id:#x}");
    }
    assert!(m.field(0x8900_0002_0000_0006) > 32, "handoff data are there");
    assert_eq!(m.version(), (2, 1, 9));
}

#[test]
fn ids_are_read_as_specified() {
    let id = FieldId(0xB912_3456_789A_BCDE);
    assert_eq!((id.code(), id.class(), id.element_bytes()), (0x9A_BCDE, 0x39, 4));
    for (bits, bytes) in [(0, 1), (1, 2), (2, 4), (3, 8)] {
        assert_eq!(FieldId(bits << 32).element_bytes(), bytes);
    }
    for none in [NO_FIELD, NO_FIELD & !(1 << 52), NO_FIELD & !(7 << 52)] {
        assert!(FieldId(none).is_none(), "the context code does not count: {none:#x}");
    }
    for some in [0, NO_FIELD & !(1 << 51), NO_FIELD & !(1 << 55), NO_FIELD - 1] {
        assert!(!FieldId(some).is_none(), "{some:#x}");
    }
    // Reserved, or a count of elements or fields that is not 0: all other bits say which field it is.
    let zero = [24..=31, 34..=37, 38..=46, 47..=49, 55..=55, 62..=62];
    for bit in 0..64u32 {
        let single = !zero.iter().any(|range| range.contains(&bit));
        assert_eq!(FieldId(1 << bit).is_single_element(), single, "bit {bit}");
    }
}

#[test]
fn elements_are_found_by_class_and_code() {
    let set = FieldSet::MaxVcpus;
    for (id, run, number) in
        [(0x0000_0002_0000_0008, 1, 7), (0x9900_0003_0000_041F, 44, 31), (0xA200_0003_0000_0006, 69, 0)]
    {
        let element = Element::find(FieldId(id), set).expect("a field");
        assert_eq!((element.run, element.number, element.id().0), (run, number, id));
    }
    let last = Element { run: 69, number: 0 };
    assert_eq!(last.next(set), None);
    assert_eq!(Element { run: 1, number: 6 }.next(set), Some(Element { run: 1, number: 7 }));
    assert_eq!(Element { run: 1, number: 7 }.next(set), Some(Element { run: 2, number: 0 }));
}

/// A finished TD of two vCPUs.
fn with_td() -> (Machine, Td) {
    let mut m = Machine::new(2);
    m.boot_linux();
    let mut td = m.td_create(0);
    m.td_keys(&mut td);
    let mut wanted = TdParams { xfam: 0xE7, tsc_frequency: 25, ..params() };
    wanted.cpuid_values[0] = [0xC_06F2, 0x10_0000, 0x8, 0x4_0000];
    wanted.cpuid_values[2] = [0x21, 0x1000, 0x23, 0x20];
    wanted.cpuid_values[10] = [0x30_0000, 0x200, 0, 0];
    let init = m.td_init_call(&td, &wanted);
    m.ok(0, init);
    m.td_vcpu(&mut td, 0);
    m.td_vcpu(&mut td, 1);
    (m, td)
}

#[test]
fn every_field_of_a_td_has_its_value() {
    let (mut m, td) = with_td();
    for (id, value) in [
        (0x9010_0002_0000_0001, Some(2)),
        (0x9010_0002_0000_0002, Some(2)),
        (0x9010_0002_0000_0000, None),
        (0x1100_0003_0000_0000, Some(1 << 28)),
        (0x1100_0003_0000_0001, Some(0xE7)),
        (0x9100_0002_0000_0002, Some(4)),
        (0x9100_0003_0000_000A, Some(0)),
        (0x9100_0003_0000_000B, Some(1 << 48)),
        (0x1110_0001_0000_000C, Some(25)),
        (0x1310_0003_0000_0000, Some(0)),
        (0x1310_0003_0000_0005, Some(0)),
        (0x1310_0003_0000_0006, None),
        // CPUID: leaf in bits 15:9 and 16, subleaf in 7:1 or none (8), element in 0.
        (0x9400_0003_0000_0000 | 1 << 9 | 0x1FE, Some(0x10_0800_000C_06F2)),
        (0x9400_0003_0000_0000 | 1 << 9 | 0x1FF, Some(0x07AD_FBFF_C6FA_B21F)),
        (0x9400_0003_0000_0000 | 1 << 9, Some(0x10_0800_000C_06F2)),
        (0x9400_0003_0000_0000 | 4 << 9 | 1 << 1, Some(0x103F_0000_0021)),
        (0x9400_0003_0000_0000 | 4 << 9 | 1 << 1 | 1, Some(0x20_0000_0023)),
        (0x9400_0003_0000_0000 | 4 << 9 | 3 << 1, Some(0x3F_0000_0000)),
        (0x9400_0003_0000_0000 | 4 << 9 | 4 << 1, Some(0)),
        (0x9400_0003_0000_0000 | 1 << 16 | 8 << 9 | 0x1FE, Some(0x200_0030_3034)),
        (0x9400_0003_0000_0000 | 8 << 9 | 0x1FE, Some(0)),
    ] {
        let answer = m.call(0, Regs { rcx: td.tdr, rdx: id, r8: 9, ..call(Leaf::MngRd) });
        let status = if value.is_some() { Status::SUCCESS } else { Status::METADATA_FIELD_ID_INCORRECT };
        assert_eq!((answer, m.regs.r8), (Answer::Status(status), value.unwrap_or(0)), "{id:#x}");
        assert_eq!(m.regs.rdx, id, "version 0 tells no next field");
    }
    m.ok(1, Regs { rcx: td.vcpus[1], ..call(Leaf::VpFlush) });
    m.ok(0, Regs { rcx: td.tdr, rdx: 0x9010_0002_0000_0002, ..call(Leaf::MngRd) });
    assert_eq!(m.regs.r8, 1, "one vCPU is still with an LP");
}

#[test]
fn fields_of_a_vcpu_can_be_written_under_a_mask() {
    let (mut m, td) = with_td();
    let vcpu = td.vcpus[0];
    let wr = |id, r8, r9| Regs { rcx: vcpu, rdx: id, r8, r9, ..call(Leaf::VpWr) };
    let nmi = 0x2000_0000_0000_000B;
    for (value, mask, before, after) in [
        (0, 1, 0, 0),
        (2, 3, 0, 2),
        (3, 1, 2, 3),
        (0, 1, 3, 2),
        (0, 0xFF, 2, 0),
        (0x55, 0xFF, 0, 0x55),
        (0, 0xFF, 0x55, 0),
    ] {
        m.ok(0, wr(nmi, value, mask));
        assert_eq!(m.regs.r8, before, "{value} under {mask}");
        m.ok(0, Regs { rcx: vcpu, rdx: nmi, ..call(Leaf::VpRd) });
        assert_eq!((m.regs.r8, m.regs.rdx), (after, nmi), "{value} under {mask}");
    }
    // Another vCPU's fields are its own.
    m.ok(1, Regs { rcx: td.vcpus[1], rdx: nmi, ..call(Leaf::VpRd) });
    assert_eq!(m.regs.r8, 0);
    let wrong = Answer::Status(Status::METADATA_FIELD_ID_INCORRECT);
    for id in [0x2000_0000_0000_000D, 0x9100_0003_0000_0101, 0x6001] {
        assert_eq!(m.call(0, Regs { rcx: vcpu, rdx: id, r8: 5, ..call(Leaf::VpRd) }), wrong, "{id:#x}");
        assert_eq!(m.regs.r8, 0);
    }
    let foreign = Regs { rcx: td.vcpus[1], rdx: nmi, ..call(Leaf::VpRd) };
    assert_eq!(m.call(0, foreign), Answer::Status(Status::VCPU_ASSOCIATED));
    assert!(m.completion.contended);
}

#[test]
fn page_metadata_tells_type_owner_and_epoch() {
    let mut m = Machine::new(1);
    m.boot_linux();
    let td = m.td(0, &[0], &Script::new().then(Op::Halt, 0, 0));
    let mut read = |page: u64| {
        m.ok(0, Regs { rcx: page, rdx: 1, r8: 2, r9: 3, r10: 4, r11: 5, ..call(Leaf::PhymemPageRdmd) });
        assert_eq!((m.regs.r8, m.regs.r10, m.regs.r11), (0, 0, 0));
        (m.regs.rcx, m.regs.rdx, m.regs.r9)
    };
    // The TD's pages in the order in which it got them: root, 6 of the TDCS, a vCPU's 6, 3 tables, 1 page.
    let kinds = [4, 5, 5, 5, 5, 5, 5, 6, 5, 5, 5, 5, 5, 8, 8, 8, 3];
    for (page, kind) in td.pages().zip(kinds) {
        assert_eq!(read(page), (kind, if kind == 4 { 0 } else { td.tdr }, 0), "{page:#x}");
    }
    assert_eq!(td.pages().count(), kinds.len());
    assert_eq!((read(PAMT), read(0x3FFF_F000)), ((1, 0, 0), (0, 0, 0)));
    let script = td.pages().last().expect("a page");
    for epoch in 1..3 {
        m.ok(0, Regs { rcx: crate::common::td::SCRIPT_GPA, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
        m.ok(0, Regs { rcx: script, ..call(Leaf::PhymemPageRdmd) });
        assert_eq!((m.regs.rcx, m.regs.r9), (3, epoch));
        m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MemTrack) });
        m.ok(0, Regs { rcx: crate::common::td::SCRIPT_GPA, rdx: td.tdr, ..call(Leaf::MemRangeUnblock) });
    }
}
