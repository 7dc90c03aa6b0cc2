//! Pages of 2 MB and 1 GB: AUG, ACCEPT, DEMOTE, PROMOTE, REMOVE, RECLAIM, and what else meets them. Sources: TDX module
//! `tdh_mem_page_aug.c`, `tdh_mem_page_demote.c`, `tdh_mem_page_promote.c`, `tdh_mem_page_remove.c`,
//! `tdg_mem_page_accept.c`, `pamt_manager.c`.

use super::status;
use crate::common::td::{LARGE, SCRIPT_GPA, SOURCE, Td, params};
use crate::common::{Answer, Machine, call};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Config, Durations, Regs};

/// Where the TD has its large page.
const GPA: u64 = 0x20_0000;
const MB2: u64 = 0x20_0000;

fn running(script: &Script) -> (Machine, Td) {
    let mut m = Machine::new(2);
    m.boot_linux();
    let td = m.td(0, &[0], script);
    (m, td)
}

/// RCX is the address with its level.
fn on(leaf: Leaf, td: &Td, rcx: u64, r8: u64) -> Regs {
    Regs { rcx, rdx: td.tdr, r8, ..call(leaf) }
}

fn aug(m: &mut Machine, td: &Td) {
    m.ok(0, on(Leaf::MemPageAug, td, GPA | 1, LARGE));
}

/// BLOCK and TRACK, so that nobody can have a translation.
fn block(m: &mut Machine, td: &Td, rcx: u64) {
    m.ok(0, on(Leaf::MemRangeBlock, td, rcx, 0));
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MemTrack) });
}

/// What RDMD says of a page: type, owner and size.
fn metadata(m: &mut Machine, page: u64) -> [u64; 3] {
    m.ok(0, Regs { rcx: page, ..call(Leaf::PhymemPageRdmd) });
    [m.regs.rcx, m.regs.rdx, m.regs.r8]
}

fn assert_consistent(m: &Machine) {
    assert_eq!(m.firmware.audit(), Vec::<String>::new());
}

#[test]
fn d00_a_2_mb_page_is_added_accepted_used_and_removed() {
    let script = Script::new()
        .then(Op::Accept, 0, GPA | 1)
        .then(Op::Set, 1, 0x1234)
        .then(Op::Store, 1, GPA + 0x1F_F008)
        .then(Op::Load, 2, GPA + 0x1F_F008)
        .then(Op::Halt, 0, 0);
    let (mut m, td) = running(&script);
    let free = m.firmware.td_usage();
    aug(&mut m, &td);
    assert_consistent(&m);
    for page in [LARGE, LARGE + 0x5000] {
        assert_eq!(metadata(&mut m, page), [3, td.tdr, 1]);
    }
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!(m.get::<u64>(LARGE + 0x1F_F008), 0x1234);
    let remove = on(Leaf::MemPageRemove, &td, GPA | 1, 0);
    assert_eq!(m.call(0, remove), status(Status::GPA_RANGE_NOT_BLOCKED, 1));
    assert_eq!((m.regs.rcx, m.regs.rdx), (1 << 63 | LARGE | 0xF7, 1 | 4 << 8));
    m.ok(0, on(Leaf::MemRangeBlock, &td, GPA | 1, 0));
    assert_eq!(m.call(0, remove), status(Status::TLB_TRACKING_NOT_DONE, 1));
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MemTrack) });
    m.ok(0, remove);
    assert_eq!(m.regs.rcx, LARGE);
    assert_eq!(metadata(&mut m, LARGE)[0], 0);
    assert_eq!(m.firmware.td_usage(), free);
    assert_consistent(&m);
}

#[test]
fn d00_a_2_mb_page_must_be_aligned_covered_and_free_in_all_its_parts() {
    let (mut m, td) = running(&Script::new());
    let aug = |gpa, page| on(Leaf::MemPageAug, &td, gpa, page);
    assert_eq!(m.call(0, aug(GPA | 1, LARGE + 4096)), status(Status::OPERAND_INVALID, 8));
    assert_eq!(m.call(0, aug(GPA | 1, 3 << 30)), status(Status::OPERAND_ADDR_RANGE_ERROR, 8));
    assert_eq!(m.call(0, aug(GPA | 2, LARGE)), status(Status::OPERAND_INVALID, 1), "1 GB is never added");
    assert_eq!(m.call(0, aug((GPA + 4096) | 1, LARGE)), status(Status::OPERAND_INVALID, 1));
    assert_eq!(m.call(0, aug(1, LARGE)), status(Status::EPT_ENTRY_STATE_INCORRECT, 1), "a table is there");
    // The last part is another's, the first part is reserved (the PAMTs begin there), and a part of a large page.
    m.ok(0, Regs { rcx: LARGE + MB2 - 4096, rdx: td.keyid + 1, ..call(Leaf::MngCreate) });
    for page in [LARGE, 0x1000_0000, 0] {
        assert_eq!(m.call(0, aug(GPA | 1, page)), status(Status::PAGE_METADATA_INCORRECT, 8), "{page:#x}");
    }
    m.ok(0, aug(GPA | 1, LARGE + MB2));
    assert_eq!(m.call(0, aug((2 * MB2) | 1, LARGE + MB2)), status(Status::PAGE_METADATA_INCORRECT, 8));
    assert_eq!(m.call(0, aug(0x9000, LARGE + MB2 + 4096)), status(Status::PAGE_METADATA_INCORRECT, 8));
    assert_consistent(&m);
}

#[test]
fn d00_accepting_at_another_size_is_answered_as_the_module_does() {
    // Pending 2 MB, asked for 4 KB: the VMM is told which page and size was asked for and found.
    let (mut m, td) = running(&Script::new().then(Op::Accept, 0, GPA + 0x3000));
    aug(&mut m, &td);
    assert_eq!(m.enter(&td, 0, 0), 48);
    assert_eq!((m.regs.rcx, m.regs.rdx, m.regs.r8), (2, 1 | (1 << 3 | 2 << 6 | 1 << 14) << 32, GPA + 0x3000));
    // Nothing there, asked for 2 MB.
    let (mut m, td) = running(&Script::new().then(Op::Accept, 0, GPA | 1));
    assert_eq!(m.enter(&td, 0, 0), 48);
    assert_eq!((m.regs.rdx, m.regs.r8), (1 | (1 | 1 << 3) << 32, GPA));
    // The TD's own answers go to the register: a table where a page was asked for, an operand that is none, a page that was
    // accepted in a larger one (which is no failure).
    let out = |script: Script, register| script.then(Op::Out, register, 0x80);
    let script = out(Script::new().then(Op::Accept, 1, 1), 1);
    let script = out(script.then(Op::Accept, 2, GPA | 4), 2);
    let script = script.then(Op::Set, 3, 7).then(Op::Accept, 3, GPA | 1).then(Op::Accept, 3, GPA + 0x3000);
    let (mut m, td) = running(&out(script, 3));
    aug(&mut m, &td);
    for (low, why) in [(1, "PAGE_SIZE_MISMATCH at level 1"), (1, "OPERAND_INVALID RCX"), (7, "no failure")] {
        assert_eq!(m.enter(&td, 0, 0), 77, "{why}");
        assert_eq!(m.regs.r15 & 0xFF, low, "{why}");
    }
}

#[test]
fn d00_a_td_does_not_accept_what_the_vmm_works_on() {
    let mut durations = Durations::default();
    durations.leaf_ns.insert("TDH.MEM.PAGE.AUG".to_owned(), 1000);
    let mut m = Machine::with(Config { durations, ..Config::for_lps(2) }, &ImageSpec::default());
    m.boot_linux();
    let mut td = m.td(0, &[0], &Script::new().then(Op::Accept, 0, 0x9000).then(Op::Halt, 0, 0));
    let page = td.page();
    let (reply, _) = m.execute(1, on(Leaf::MemPageAug, &td, 0x9000, page));
    assert!(matches!(reply, seam_emu::Reply::Wait { .. }), "the call lasts");
    assert_eq!(m.enter(&td, 0, 0), 1, "it tries until its time slice ends");
    m.now_ns += 1000;
    m.ok(1, on(Leaf::MemPageAug, &td, 0x9000, page));
    assert_eq!(m.enter(&td, 0, 0), 77, "now it is accepted, and the TD halts");
}

#[test]
fn d00_a_page_is_split_and_merged_again() {
    let script = Script::new()
        .then(Op::Accept, 0, GPA | 1)
        .then(Op::Set, 1, 42)
        .then(Op::Store, 1, GPA + 0x5000)
        .then(Op::Halt, 0, 0)
        .then(Op::Load, 2, GPA + 0x5000)
        .then(Op::Out, 2, 0x80)
        .then(Op::Load, 2, GPA + 0x5000)
        .then(Op::Out, 2, 0x80);
    let (mut m, mut td) = running(&script);
    aug(&mut m, &td);
    assert_eq!(m.enter(&td, 0, 0), 77);
    let table = td.page();
    let demote = on(Leaf::MemPageDemote, &td, GPA | 1, table);
    assert_eq!(m.call(0, demote), status(Status::GPA_RANGE_NOT_BLOCKED, 1));
    block(&mut m, &td, GPA | 1);
    let pages = m.firmware.td_usage().1;
    let passed = Regs { r9: 1, r10: 2, r11: 3, ..demote };
    m.ok(0, passed);
    assert_eq!([m.regs.rcx, m.regs.rdx, m.regs.r9, m.regs.r10, m.regs.r11], [0, 0, 1, 2, 3]);
    assert_eq!(m.firmware.td_usage().1, pages + 1, "the table");
    assert_eq!(metadata(&mut m, LARGE + 0x5000), [3, td.tdr, 0]);
    assert_consistent(&m);
    assert_eq!(m.enter(&td, 0, 0), 77, "unblocked by it");
    assert_eq!(m.regs.r15, 42);
    let promote = on(Leaf::MemPagePromote, &td, GPA | 1, 0);
    assert_eq!(m.call(0, promote), status(Status::GPA_RANGE_NOT_BLOCKED, 1));
    block(&mut m, &td, GPA | 1);
    m.ok(0, Regs { rax: promote.rax | 1 << 16, ..promote });
    assert_eq!([m.regs.rcx, m.regs.r9, m.regs.r10, m.regs.r11], [table, u64::MAX, u64::MAX, u64::MAX]);
    assert_eq!(m.firmware.td_usage().1, pages);
    assert_eq!(metadata(&mut m, LARGE), [3, td.tdr, 1]);
    assert_consistent(&m);
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!(m.regs.r15, 42);
}

#[test]
fn d00_only_what_is_alike_and_together_is_merged() {
    let (mut m, mut td) = running(&Script::new());
    let table = td.page();
    m.ok(0, on(Leaf::MemSeptAdd, &td, GPA | 1, table));
    let promote = |m: &mut Machine| {
        block(m, &td, GPA | 1);
        let answer = m.call(0, on(Leaf::MemPagePromote, &td, GPA | 1, 0));
        if answer != Answer::Status(Status::SUCCESS) {
            assert_eq!((m.regs.rcx, m.regs.rdx), (0, 1 | 129 << 8), "the blocked table");
            m.ok(0, on(Leaf::MemRangeUnblock, &td, GPA | 1, 0));
        }
        answer
    };
    let unfit = status(Status::EPT_INVALID_PROMOTE_CONDITIONS, 1);
    assert_eq!(promote(&mut m), unfit, "nothing in it");
    for page in 0..511 {
        m.ok(0, on(Leaf::MemPageAug, &td, GPA + 4096 * page, LARGE + 4096 * page));
    }
    assert_eq!(promote(&mut m), unfit, "one is missing");
    let last = GPA + 4096 * 511;
    m.ok(0, on(Leaf::MemPageAug, &td, last, LARGE + MB2));
    assert_eq!(promote(&mut m), unfit, "the last is elsewhere");
    block(&mut m, &td, last);
    m.ok(0, on(Leaf::MemPageRemove, &td, last, 0));
    m.ok(0, on(Leaf::MemPageAug, &td, last, LARGE + 4096 * 511));
    m.ok(0, on(Leaf::MemRangeBlock, &td, GPA, 0));
    assert_eq!(promote(&mut m), unfit, "the first is blocked");
    m.ok(0, on(Leaf::MemRangeUnblock, &td, GPA, 0));
    assert_eq!(promote(&mut m), Answer::Status(Status::SUCCESS));
    assert_eq!(m.regs.rcx, table);
    assert_consistent(&m);
}

#[test]
fn d00_pages_that_begin_at_an_odd_place_are_not_merged() {
    let (mut m, mut td) = running(&Script::new());
    let table = td.page();
    m.ok(0, on(Leaf::MemSeptAdd, &td, GPA | 1, table));
    for page in 0..512 {
        m.ok(0, on(Leaf::MemPageAug, &td, GPA + 4096 * page, LARGE + 4096 * (page + 1)));
    }
    block(&mut m, &td, GPA | 1);
    let promote = on(Leaf::MemPagePromote, &td, GPA | 1, 0);
    assert_eq!(m.call(0, promote), status(Status::EPT_INVALID_PROMOTE_CONDITIONS, 1));
}

#[test]
fn d00_what_maps_no_page_is_not_split_and_what_maps_no_table_not_merged() {
    let (mut m, mut td) = running(&Script::new());
    let wrong = status(Status::EPT_ENTRY_STATE_INCORRECT, 1);
    let page = td.page();
    assert_eq!(m.call(0, on(Leaf::MemPageDemote, &td, 1, page)), wrong, "a table");
    assert_eq!(m.call(0, on(Leaf::MemPageDemote, &td, GPA | 1, page)), wrong, "nothing");
    aug(&mut m, &td);
    assert_eq!(m.call(0, on(Leaf::MemPagePromote, &td, GPA | 1, 0)), wrong, "a page");
    for leaf in [Leaf::MemPageDemote, Leaf::MemPagePromote] {
        for level in [0, 3] {
            assert_eq!(m.call(0, on(leaf, &td, level, page)), status(Status::OPERAND_INVALID, 1), "{leaf:?} {level}");
        }
    }
    block(&mut m, &td, GPA | 1);
    assert_eq!(
        m.call(0, on(Leaf::MemPageDemote, &td, GPA | 1, td.tdr)),
        status(Status::OPERAND_BUSY, 8),
        "its own TDR"
    );
    assert_eq!(m.call(0, on(Leaf::MemPageDemote, &td, GPA | 1, LARGE)), status(Status::PAGE_METADATA_INCORRECT, 8));
}

#[test]
fn d00_a_large_range_and_a_page_in_it_exclude_each_other() {
    for (first, second, busy) in [
        (on_page(Leaf::PhymemPageRdmd, LARGE + 0x3000), None, 8),
        (Regs::default(), Some(on_page(Leaf::PhymemPageRdmd, LARGE + 0x3000)), 1),
    ] {
        let mut durations = Durations::default();
        for leaf in ["TDH.MEM.PAGE.AUG", "TDH.PHYMEM.PAGE.RDMD"] {
            durations.leaf_ns.insert(leaf.to_owned(), 1000);
        }
        let mut m = Machine::with(Config { durations, ..Config::for_lps(2) }, &ImageSpec::default());
        m.boot_linux();
        let td = m.td(0, &[0], &Script::new());
        let aug = on(Leaf::MemPageAug, &td, GPA | 1, LARGE);
        let (first, second) = match second {
            None => (first, aug),
            Some(second) => (aug, second),
        };
        assert!(matches!(m.execute(1, first).0, seam_emu::Reply::Wait { .. }));
        assert_eq!(m.call(0, second), status(Status::OPERAND_BUSY, busy));
    }
}

fn on_page(leaf: Leaf, page: u64) -> Regs {
    Regs { rcx: page, ..call(leaf) }
}

#[test]
fn d00_a_large_page_lives_through_an_update_and_is_reclaimed_whole() {
    let script = Script::new()
        .then(Op::Accept, 0, GPA | 1)
        .then(Op::Set, 1, 9)
        .then(Op::Store, 1, GPA + 0x7000)
        .then(Op::Halt, 0, 0)
        .then(Op::Load, 2, GPA + 0x7000)
        .then(Op::Out, 2, 0x80);
    let (mut m, td) = running(&script);
    aug(&mut m, &td);
    assert_eq!(m.enter(&td, 0, 0), 77);
    m.update(&ImageSpec::version(1, 5, 7));
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!(m.regs.r15, 9);
    m.ok(0, Regs { rcx: td.vcpus[0], ..call(Leaf::VpFlush) });
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
    m.td_wb_all();
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngKeyFreeid) });
    assert_eq!(m.call(0, on_page(Leaf::PhymemPageReclaim, LARGE + 4096)), status(Status::OPERAND_INVALID, 1));
    assert_eq!([m.regs.rcx, m.regs.rdx, m.regs.r8], [3, td.tdr, 1]);
    let before = m.firmware.td_usage().1;
    m.ok(0, on_page(Leaf::PhymemPageReclaim, LARGE));
    assert_eq!(m.firmware.td_usage().1, before - 512);
    for page in td.pages().filter(|page| *page != td.tdr) {
        m.ok(0, on_page(Leaf::PhymemPageReclaim, page));
    }
    m.ok(0, on_page(Leaf::PhymemPageReclaim, td.tdr));
    assert_eq!(m.firmware.td_usage(), (0, 0, 0));
}

#[test]
fn d00_pages_of_a_td_that_is_being_built_are_merged_and_measured_as_one() {
    let mut m = Machine::new(1);
    m.boot_linux();
    let mut td = m.td_initialized(&params(), 0);
    m.td_tables(&mut td);
    for page in 0..512 {
        let add = Regs { r9: SOURCE, ..on(Leaf::MemPageAdd, &td, 4096 * page, LARGE + 4096 * page) };
        m.ok(0, add);
    }
    // Without BLOCK: it cannot run yet, so it has no translations.
    m.ok(0, on(Leaf::MemPagePromote, &td, 1, 0));
    m.ok(0, Regs { rcx: SCRIPT_GPA + 256, rdx: td.tdr, ..call(Leaf::MrExtend) });
    assert_consistent(&m);
}
