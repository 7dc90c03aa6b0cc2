//! The module's global leaves: call/status tables.

use crate::common::{Answer, BUFFER, GLOBAL_KEYID, Machine, PAMT, TDMR_ARRAY, TDMR_INFO, call};
use seam_emu::abi::field::{Element, FieldId, FieldSet, NO_FIELD, SYS_FIELDS};
use seam_emu::abi::status::Operand;
use seam_emu::abi::tdmr::TdmrInfo;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{self, ImageSpec};
use seam_emu::{Config, GuestMemory, Regs};

fn status(status: Status) -> Answer {
    Answer::Status(status)
}

fn invalid(operand: Operand) -> Answer {
    Answer::Status(Status::OPERAND_INVALID.operand(operand))
}

/// An initialised machine of one LP.
fn initialized() -> Machine {
    let mut m = Machine::new(1);
    m.init_lps();
    m
}

fn ready() -> Machine {
    let mut m = Machine::new(1);
    m.boot_linux();
    m
}

#[test]
fn sys_init_takes_no_attributes_and_zeroes_registers() {
    let mut m = Machine::new(1);
    assert_eq!(m.call(0, Regs { rcx: 1, ..call(Leaf::SysInit) }), invalid(Operand::Rcx));
    let dirty = Regs { rdx: 1, r8: 2, r9: 3, r10: 4, r11: 5, ..call(Leaf::SysInit) };
    m.ok(0, dirty);
    assert_eq!((m.regs.rdx, m.regs.r8, m.regs.r9, m.regs.r10, m.regs.r11), (0, 0, 0, 0, 5));
    assert_eq!(m.call(0, dirty), status(Status::SYS_INIT_NOT_PENDING));
}

#[test]
fn sys_init_refuses_a_module_whose_sigstruct_disagrees() {
    // Signed for handoff version 1, built for 0.
    let file = image::build(&ImageSpec::default());
    let mut m = Machine::new(1);
    m.boot_linux();
    m.ok(0, call(Leaf::SysShutdown));
    let altered = crate::common::resigned_hv(&file, 1);
    assert_eq!(m.install(&altered, 1), status(Status::SUCCESS));
    assert_eq!(m.call(0, call(Leaf::SysInit)), status(Status::SYS_INCOMPATIBLE_SIGSTRUCT));
}

#[test]
fn lps_are_initialized_once_each() {
    let mut m = Machine::new(2);
    assert_eq!(m.call(0, call(Leaf::SysLpInit)), status(Status::SYS_LP_INIT_NOT_PENDING));
    m.ok(0, call(Leaf::SysInit));
    m.ok(0, call(Leaf::SysLpInit));
    assert_eq!(m.call(0, call(Leaf::SysLpInit)), status(Status::SYS_LP_INIT_DONE));
    assert_eq!(m.call(1, Regs { rdx: 0, ..call(Leaf::SysRd) }), status(Status::SYS_LP_INIT_NOT_DONE));
    m.put(TDMR_ARRAY, &TDMR_INFO);
    let config = m.config_call(&Machine::tdmr());
    assert_eq!(m.call(0, config), status(Status::SYS_CONFIG_NOT_PENDING), "LP 1 is missing");
    m.ok(1, call(Leaf::SysLpInit));
    m.ok(0, config);
}

#[test]
fn fields_that_linux_reads_can_be_read() {
    let mut m = initialized();
    for (id, value) in [
        (0x0800_0001_0000_0003, 5),
        (0x0800_0001_0000_0004, 1),
        (0x0800_0001_0000_0005, 6),
        (0x0A00_0003_0000_0008, 0x22_6F3F_0FBF),
        (0x9100_0001_0000_0008, 64),
        (0x9100_0001_0000_0009, 16),
        (0x9100_0001_0000_0010, 16),
        (0x9100_0001_0000_0011, 16),
        (0x9100_0001_0000_0012, 16),
        (0x9800_0001_0000_0000, 4096),
        (0x9800_0001_0000_0100, 6 * 4096),
        (0x9800_0001_0000_0200, 6 * 4096),
        (0x1900_0003_0000_0000, 1 << 63 | 0b111 << 28 | 1),
        (0x1900_0003_0000_0001, 0),
        (0x1900_0003_0000_0002, 0x6_DBE7),
        (0x1900_0003_0000_0003, 3),
        (0x9900_0001_0000_0004, 11),
        (0x9900_0001_0000_0008, 576),
        (0x9900_0003_0000_0400, 0xFFFF_FFFF_0000_0001),
        (0x9900_0003_0000_040A, 0xFFFF_FFFF_8000_0008),
        (0x9900_0003_0000_041F, u64::MAX),
        (0x9900_0003_0000_0500, 0x00FF_0000_0FFF_3FFF),
        (0x9900_0003_0000_0501, 0xB844_0000_3104_4D88),
        (0x9900_0003_0000_053F, 0),
        (0x8900_0001_0000_0000, 0),
        (0x8900_0001_0000_0003, 13),
        (0x8900_0000_0000_0004, 0),
        (0x9000_0001_0000_0000, 32),
        (0x9000_0003_0000_0080, 1 << 20),
        (0x9000_0003_0000_0100, (2 << 30) - (1 << 20)),
    ] {
        assert_eq!(m.field(id), value, "{id:#x}");
    }
}

#[test]
fn fields_that_do_not_exist_cannot_be_read() {
    let mut m = initialized();
    for id in [0x0800_0001_0000_0007, 0x0B00_0000_0000_0000, 0x0800_0041_0000_0003, 1 << 62, 0x0800_0001_0100_0003] {
        let answer = m.call(0, Regs { rdx: id, r8: 7, ..call(Leaf::SysRd) });
        assert_eq!(answer, status(Status::METADATA_FIELD_ID_INCORRECT), "{id:#x}");
        assert_eq!((m.regs.rdx, m.regs.r8), (NO_FIELD, 0));
    }
}

/// Elements of all fields of the default module.
fn all_fields() -> u32 {
    SYS_FIELDS.iter().filter(|run| run.since <= FieldSet::MaxVcpus).map(seam_emu::abi::field::Fields::len).sum()
}

#[test]
fn all_fields_can_be_listed_one_by_one() {
    let mut m = initialized();
    let first = m.call(0, Regs { rdx: NO_FIELD, ..call(Leaf::SysRd) });
    assert_eq!(first, status(Status::METADATA_FIRST_FIELD_ID_IN_CONTEXT));
    let (mut id, mut count) = (m.regs.rdx, 0);
    while id != NO_FIELD {
        m.field(id);
        id = m.regs.rdx;
        count += 1;
    }
    assert_eq!(count, all_fields());
}

/// Reads one page of RDALL's list into (field id, value) pairs; gives their sum of sequences.
fn parse_list(m: &Machine, values: &mut Vec<(u64, u64)>) {
    let word = |i: u64| m.get::<u64>(BUFFER + 8 * i);
    let header = word(0);
    let (bytes, sequences) = (header & 0xFFFF, header >> 16 & 0xFFFF);
    let mut at = 1;
    for _ in 0..sequences {
        let head = word(at);
        at += 1;
        let elements = (head >> 34 & 0xF) + 1;
        let fields = (head >> 38 & 0x1FF) + 1;
        let first = head & !(0xF << 34 | 0x1FF << 38);
        for i in 0..elements * fields {
            values.push((first + i, word(at)));
            at += 1;
        }
    }
    assert_eq!(at * 8, bytes, "the header tells the list's size");
}

#[test]
fn rdall_lists_what_rd_reads() {
    let mut m = initialized();
    let mut values = Vec::new();
    let mut next = NO_FIELD;
    let mut pages = 0;
    loop {
        let answer = m.call(0, Regs { rdx: BUFFER, r8: next, ..call(Leaf::SysRdall) });
        next = m.regs.r8;
        parse_list(&m, &mut values);
        pages += 1;
        if answer == status(Status::SUCCESS) {
            break;
        }
        assert_eq!(answer, status(Status::METADATA_LIST_OVERFLOW));
    }
    assert_eq!(next, NO_FIELD);
    assert_eq!((pages, values.len()), (1, all_fields() as usize), "all fields fit into one page");
    for (id, value) in values {
        let element = Element::find(FieldId(id), FieldSet::MaxVcpus).expect("a field");
        assert_eq!(m.field(element.id().0), value, "{id:#x}");
    }
}

#[test]
fn rdall_can_begin_at_a_field_and_cannot_within_one() {
    let mut m = initialized();
    m.ok(0, Regs { rdx: BUFFER, r8: 0x9900_0003_0000_0502, ..call(Leaf::SysRdall) });
    let mut values = Vec::new();
    parse_list(&m, &mut values);
    assert_eq!(values[0].0 & !(0b11 << 32), 0x9900_0000_0000_0502);
    let within = Regs { rdx: BUFFER, r8: 0x9900_0003_0000_0503, ..call(Leaf::SysRdall) };
    assert_eq!(m.call(0, within), status(Status::METADATA_FIELD_ID_INCORRECT));
}

#[test]
fn rdall_and_info_cannot_write_anywhere() {
    let mut m = initialized();
    for pa in [BUFFER + 2048, 32 << 46 | BUFFER, 0x20_0000_0000] {
        assert_eq!(m.call(0, Regs { rdx: pa, r8: NO_FIELD, ..call(Leaf::SysRdall) }), invalid(Operand::Rdx), "{pa:#x}");
    }
    let good = Regs { rcx: BUFFER, rdx: 1024, r8: BUFFER + 4096, r9: 32, ..call(Leaf::SysInfo) };
    for (regs, operand) in [
        (Regs { rcx: BUFFER + 512, ..good }, Operand::Rcx),
        (Regs { rdx: 1023, ..good }, Operand::Rdx),
        (Regs { r8: BUFFER + 256, ..good }, Operand::R8),
        (Regs { r9: 31, ..good }, Operand::R9),
    ] {
        assert_eq!(m.call(0, regs), invalid(operand));
    }
    m.ok(0, good);
    assert_eq!((m.regs.rdx, m.regs.r9), (1024, 32));
    assert_eq!(m.get::<u16>(BUFFER + 18), 1, "major version");
    assert_eq!(m.get::<u64>(BUFFER + 4096), 1 << 20, "base of the first CMR");
}

#[test]
fn config_checks_its_operands() {
    let mut m = initialized();
    let good = m.config_call(&Machine::tdmr());
    for (regs, operand) in [
        (Regs { rcx: TDMR_ARRAY + 8, ..good }, Operand::Rcx),
        (Regs { rdx: 0, ..good }, Operand::Rdx),
        (Regs { rdx: 65, ..good }, Operand::Rdx),
        (Regs { r8: GLOBAL_KEYID - 1, ..good }, Operand::R8),
        (Regs { r8: GLOBAL_KEYID + 32, ..good }, Operand::R8),
        (Regs { r8: 1 << 32 | GLOBAL_KEYID, ..good }, Operand::R8),
    ] {
        assert_eq!(m.call(0, regs), invalid(operand), "{regs:x?}");
    }
    m.put(TDMR_ARRAY, &(TDMR_INFO + 8));
    assert_eq!(m.call(0, good), invalid(Operand::Rcx), "an unaligned entry");
    let good = m.config_call(&Machine::tdmr());
    m.ok(0, good);
}

/// What is wrong with a TDMR, and the status that tells it.
type TdmrCase = (&'static str, fn(&mut TdmrInfo), Status);

#[test]
fn config_refuses_tdmrs_that_are_not_possible() {
    let cases: &[TdmrCase] = &[
        ("unaligned base", |t| t.base = 4096, Status::INVALID_TDMR),
        ("no size", |t| t.size = 0, Status::INVALID_TDMR),
        ("wraps around", |t| t.base = u64::MAX << 30, Status::INVALID_TDMR),
        ("too high", |t| t.base = 1 << 46, Status::INVALID_TDMR),
        ("outside CMRs", |t| t.size = 3 << 30, Status::INVALID_PAMT.info(0, 1, 0)),
        ("small 4K PAMT", |t| t.pamt_4k_size -= 4096, Status::INVALID_PAMT.info(0, 0, 0)),
        ("unaligned 1G PAMT", |t| t.pamt_1g_base += 8, Status::INVALID_PAMT.info(0, 2, 0)),
        ("overlapping PAMTs", |t| t.pamt_2m_base = PAMT, Status::PAMT_OVERLAP.info(0, 0, 0)),
        ("PAMT in use", |t| t.reserved[1].size -= 4096, Status::PAMT_OVERLAP.info(0, 2, 0)),
        ("PAMT outside CMRs", |t| t.pamt_1g_base = 0, Status::PAMT_OUTSIDE_CMRS.info(0, 2, 0)),
        ("unaligned area", |t| t.reserved[0].size += 8, Status::INVALID_RESERVED_IN_TDMR.info(0, 0, 0)),
        ("area outside", |t| t.reserved[1].size = 2 << 30, Status::INVALID_RESERVED_IN_TDMR.info(0, 1, 0)),
        ("areas out of order", |t| t.reserved.swap(0, 1), Status::NON_ORDERED_RESERVED_IN_TDMR.info(0, 1, 0)),
        ("gap in areas", |t| t.reserved.swap(1, 2), Status::NON_ORDERED_RESERVED_IN_TDMR.info(0, 1, 0)),
        ("hole not reserved", |t| t.reserved = [t.reserved[1]; 16].map(one(t)), Status::TDMR_OUTSIDE_CMRS),
    ];
    for (name, change, expected) in cases {
        let mut m = initialized();
        let mut info = Machine::tdmr();
        change(&mut info);
        let regs = m.config_call(&info);
        assert_eq!(m.call(0, regs), status(*expected), "{name}");
        assert_eq!(m.firmware.module_state(), 1, "{name}");
    }
}

/// Only the PAMTs' area, and null entries.
fn one(t: &TdmrInfo) -> impl FnMut(seam_emu::abi::tdmr::ReservedArea) -> seam_emu::abi::tdmr::ReservedArea + use<> {
    let mut first = Some(t.reserved[1]);
    move |_| first.take().unwrap_or_default()
}

#[test]
fn config_refuses_tdmrs_out_of_order() {
    let mut m = initialized();
    let regs = m.config_call(&Machine::tdmr());
    m.memory.write(TDMR_ARRAY + 8, &TDMR_INFO.to_le_bytes()).expect("RAM");
    let twice = Regs { rdx: 2, ..regs };
    assert_eq!(m.call(0, twice), status(Status::NON_ORDERED_TDMR.info(1, 0, 0)));
}

#[test]
fn tdmrs_are_initialized_step_by_step() {
    let mut m = initialized();
    let config = m.config_call(&Machine::tdmr());
    m.ok(0, config);
    m.ok(0, call(Leaf::SysKeyConfig));
    for base in [4096, 1 << 30, 1 << 46, 33 << 46] {
        assert_eq!(m.call(0, Regs { rcx: base, ..call(Leaf::SysTdmrInit) }), invalid(Operand::Rcx), "{base:#x}");
    }
    let steps = (2 << 30) / (1024 * 4096);
    for step in 1..=steps {
        m.ok(0, call(Leaf::SysTdmrInit));
        assert_eq!(m.regs.rdx, (step * 1024 * 4096) >> 30 << 30, "step {step}");
    }
    assert_eq!(m.call(0, call(Leaf::SysTdmrInit)), status(Status::TDMR_ALREADY_INITIALIZED));
}

#[test]
fn page_metadata_can_be_read_where_a_tdmr_is_initialized() {
    let mut m = ready();
    for (page, kind) in [(0x3000_0000, 0), (0, 1), (PAMT, 1), (PAMT + 4096, 1)] {
        m.ok(0, Regs { rcx: page, ..call(Leaf::PhymemPageRdmd) });
        assert_eq!((m.regs.rcx, m.regs.rdx, m.regs.r8), (kind, 0, 0), "{page:#x}");
    }
    let range = Answer::Status(Status::OPERAND_ADDR_RANGE_ERROR.operand(Operand::Rcx));
    assert_eq!(m.call(0, Regs { rcx: 2 << 30, ..call(Leaf::PhymemPageRdmd) }), range);
    for page in [8, 32 << 46, 1 << 52] {
        assert_eq!(m.call(0, Regs { rcx: page, ..call(Leaf::PhymemPageRdmd) }), invalid(Operand::Rcx));
    }
}

#[test]
fn shutdown_produces_only_handoff_versions_in_range() {
    let spec = |no_downgrade| ImageSpec { module_hv: 3, min_update_hv: 1, no_downgrade, ..ImageSpec::default() };
    for (no_downgrade, hv, ok) in
        [(false, 0, false), (false, 1, true), (false, 3, true), (false, 4, false), (true, 2, false), (true, 3, true)]
    {
        let mut m = Machine::with(Config::for_lps(1), &spec(no_downgrade));
        m.boot_linux();
        let answer = m.call(0, Regs { rcx: hv, ..call(Leaf::SysShutdown) });
        let expected = if ok { status(Status::SUCCESS) } else { invalid(Operand::Rcx) };
        assert_eq!(answer, expected, "HV {hv}, no_downgrade {no_downgrade}");
        assert_eq!(m.firmware.module_state(), if ok { 4 } else { 3 });
    }
    assert_eq!(
        ready().call(0, Regs { rcx: 1 << 16, ..call(Leaf::SysShutdown) }),
        invalid(Operand::Rcx),
        "no FEATURES0[47]"
    );
}

#[test]
fn update_needs_handoff_data_that_the_module_takes() {
    let mut m = ready();
    m.ok(0, call(Leaf::SysShutdown));
    let file = image::build(&ImageSpec::version(1, 5, 7));
    assert_eq!(m.install(&file, 1), status(Status::SUCCESS));
    m.ok(0, call(Leaf::SysInit));
    assert_eq!(m.call(0, call(Leaf::SysUpdate)), status(Status::SYS_STATE_INCORRECT), "the LP is missing");
    m.ok(0, call(Leaf::SysLpInit));
    assert_eq!(m.field(0x8900_0000_0000_0004), 1, "handoff data are valid");
    let version_1 = Leaf::SysUpdate.number() | 1 << 16;
    let with = |r9, r10| Regs { rax: version_1, r9, r10, ..Regs::default() };
    assert_eq!(m.call(0, with(1 << 47, 0)), invalid(Operand::R9), "a feature that the module has not");
    assert_eq!(m.call(0, with(0, 1)), invalid(Operand::R10));
    m.ok(0, with(1 << 1, 0));
    assert_eq!(m.field(0x8900_0000_0000_0004), 0);
    assert_eq!(m.call(0, call(Leaf::SysUpdate)), status(Status::SYS_STATE_INCORRECT));
}

#[test]
fn a_module_can_be_disabled_if_it_has_the_leaf() {
    let spec = ImageSpec { features0: ImageSpec::default().features0 | 1 << 53, ..ImageSpec::default() };
    let mut m = Machine::with(Config::for_lps(1), &spec);
    m.boot_linux();
    m.ok(0, call(Leaf::SysDisable));
    assert_eq!(m.call(0, call(Leaf::SysRd)), status(Status::SYS_SHUTDOWN));
    assert_eq!(ready().call(0, call(Leaf::SysDisable)), invalid(Operand::Rax));
}
