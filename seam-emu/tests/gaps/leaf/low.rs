//! Small differences. Sources: P-SEAMLDR 1.5.02 `seamldr_install.c` and its like, `seamldr_info.c`; TDX module 1.5.01
//! `tdh_sys_config.c`, `tdh_mem_page_remove.c`, `tdh_mem_range_unblock.c`, `tdh_mem_sept_add.c`, `metadata_generic.c`,
//! `tdh_vp_enter.c`, `tdh_sys_info.c`.

use super::status;
use crate::common::td::{SCRIPT_GPA, Td};
use crate::common::{Answer, BUFFER, Machine, call, image};
use seam_emu::abi::seamldr::{SCENARIO_LOAD, SeamLdrInfo};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::Script;
use seam_emu::{Config, Durations, LoaderGeneration, LogicalProcessor, MemoryRange, Regs, Reply};

fn with_td(spec: &ImageSpec) -> (Machine, Td) {
    let loader = if spec.major >= 2 { LoaderGeneration::V2_0 } else { LoaderGeneration::V1_5_02 };
    let mut m = Machine::with(Config { loader, ..Config::for_lps(2) }, spec);
    m.boot_linux();
    let td = m.td(0, &[0, 1], &Script::new());
    (m, td)
}

#[test]
fn a14_an_lp_whose_id_has_no_bit_is_told_so() {
    for (id, counted) in [(1023, true), (1024, false), (5000, false)] {
        let mut config = Config::for_lps(2);
        config.lps[1] = LogicalProcessor { apic_id: id, package: 0 };
        let mut m = Machine::with(config, &ImageSpec::default());
        let install = m.install_call(&image(&ImageSpec::default()), SCENARIO_LOAD);
        m.ok(0, install);
        let expected = if counted { Status::SUCCESS } else { Status::EUNSPECERR };
        assert_eq!(m.call(1, install), Answer::Status(expected), "{id}");
        assert_eq!(m.regs.rdx, 0);
        if !counted {
            for leaf in [Leaf::LdrShutdown, Leaf::LdrCleanup] {
                assert_eq!(m.call(1, call(leaf)), Answer::Status(Status::EUNSPECERR));
            }
            m.ok(1, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
        }
    }
}

#[test]
fn a15_info_tells_no_update_version() {
    let mut m = Machine::new(1);
    m.ok(0, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    let info: SeamLdrInfo = m.get(BUFFER);
    assert_eq!((info.major, info.minor, info.update), (1, 5, 0));
}

#[test]
fn a18_of_pamts_outside_convertible_memory_the_largest_pages_is_told() {
    let memory = vec![MemoryRange { base: 1 << 20, size: (2 << 30) - (1 << 20) }];
    let mut m = Machine::with(Config { memory, ..Config::for_lps(1) }, &ImageSpec::default());
    m.init_lps();
    let mut info = Machine::tdmr();
    (info.pamt_4k_base, info.pamt_2m_base, info.pamt_1g_base) = (4 << 30, 5 << 30, 6 << 30);
    let config = m.config_call(&info);
    assert_eq!(m.call(0, config), Answer::Status(Status::PAMT_OUTSIDE_CMRS.info(0, 2, 0)));
    info.pamt_1g_base = Machine::tdmr().pamt_1g_base;
    let config = m.config_call(&info);
    assert_eq!(m.call(0, config), Answer::Status(Status::PAMT_OUTSIDE_CMRS.info(0, 1, 0)));
}

#[test]
fn a19_a_table_is_no_page_to_remove() {
    let (mut m, td) = with_td(&ImageSpec::default());
    let remove = |gpa| Regs { rcx: gpa, rdx: td.tdr, ..call(Leaf::MemPageRemove) };
    for level in [1, 2] {
        assert_eq!(m.call(0, remove(level)), status(Status::EPT_ENTRY_STATE_INCORRECT, 1), "level {level}");
        assert_eq!((m.regs.rcx, m.regs.rdx), (7, level | 132 << 8));
        assert!(!m.completion.unmodelled);
    }
    assert_eq!(m.call(0, remove(0x20_0001)), status(Status::EPT_ENTRY_STATE_INCORRECT, 1), "free");
    assert_eq!(m.call(0, remove(3)), status(Status::OPERAND_INVALID, 1));
}

#[test]
fn a20_an_untracked_unblock_names_what_its_series_names() {
    for (spec, operand) in [(ImageSpec::version(1, 5, 6), 0x92), (ImageSpec::version(2, 0, 0), 1)] {
        let (mut m, td) = with_td(&spec);
        m.ok(0, Regs { rcx: SCRIPT_GPA, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
        let unblock = Regs { rcx: SCRIPT_GPA, rdx: td.tdr, ..call(Leaf::MemRangeUnblock) };
        assert_eq!(m.call(0, unblock), status(Status::TLB_TRACKING_NOT_DONE, operand));
    }
}

#[test]
fn a22_version_1_of_sept_add_tells_which_pages_it_did_not_use() {
    let (mut m, mut td) = with_td(&ImageSpec::default());
    let none = u64::MAX;
    let page = td.page();
    let add = |gpa, r8, r9| {
        let rax = Leaf::MemSeptAdd.number() | 1 << 16;
        Regs { rax, rcx: gpa, rdx: td.tdr | 1, r8, r9, r10: none, r11: none, ..Regs::default() }
    };
    let told = |m: &Machine| [m.regs.r8, m.regs.r9, m.regs.r10, m.regs.r11];
    // A table that exists: the page stays the VMM's. None at all will do.
    m.ok(0, add(1, page, none));
    assert_eq!(told(&m), [page | 1 << 63, none, none, none]);
    m.ok(0, add(1, none, none));
    assert_eq!(told(&m), [none; 4]);
    // No table, and no page for one.
    assert_eq!(m.call(0, add(0x20_0001, none, none)), status(Status::EPT_ENTRY_STATE_INCORRECT, 1));
    // A page for a nested VM that does not exist is seen after the table's own.
    assert_eq!(m.call(0, add(0x20_0001, page + 8, page)), status(Status::OPERAND_INVALID, 8));
    assert_eq!(m.call(0, add(0x20_0001, page, page)), status(Status::OPERAND_INVALID, 9));
    assert_eq!(told(&m), [page, page, none, none]);
    m.ok(0, add(0x20_0001, page, none));
    assert_eq!(told(&m), [none; 4]);
}

#[test]
fn a23_rdall_wants_the_elements_size_and_no_more() {
    let mut m = Machine::new(1);
    m.boot_linux();
    let rdall = |first| Regs { rdx: BUFFER, r8: first, ..call(Leaf::SysRdall) };
    let minor = 0x0800_0001_0000_0003;
    m.ok(0, rdall(minor));
    let list: [u64; 8] = m.get(BUFFER);
    // Reserved bits and both counts do not matter.
    m.ok(0, rdall(minor | 1 << 24 | 1 << 34 | 1 << 38 | 1 << 55));
    assert_eq!(m.get::<[u64; 8]>(BUFFER), list);
    for size in [0, 2, 3] {
        let wrong = minor & !(3 << 32) | size << 32;
        assert_eq!(m.call(0, rdall(wrong)), status(Status::METADATA_FIELD_ID_INCORRECT, 0));
    }
}

#[test]
fn a24_flags_of_vp_enter_are_refused_after_association() {
    let (mut m, td) = with_td(&ImageSpec::default());
    let invalid = status(Status::OPERAND_INVALID, 1);
    for flag in [1 << 52, 1 << 53] {
        let enter = |lp: usize| Regs { rcx: td.vcpus[lp] | flag, ..call(Leaf::VpEnter) };
        assert_eq!(m.call(1, enter(0)), status(Status::VCPU_ASSOCIATED, 0), "LP 0 has it");
        m.ok(0, Regs { rcx: td.vcpus[0], ..call(Leaf::VpFlush) });
        assert_eq!(m.call(0, enter(0)), invalid);
        assert_eq!(m.call(1, Regs { rcx: td.vcpus[0], ..call(Leaf::VpEnter) }), status(Status::VCPU_ASSOCIATED, 0));
    }
    assert_eq!(m.call(0, Regs { rcx: td.vcpus[0] | 1 << 54, ..call(Leaf::VpEnter) }), invalid);
}

#[test]
fn a25_info_clears_its_buffer_before_it_looks_at_the_other() {
    let mut m = Machine::new(1);
    m.boot_linux();
    m.put(BUFFER, &[0xAAu8; 2048]);
    let info = Regs { rcx: BUFFER, rdx: 1024, r8: 8, r9: 32, ..call(Leaf::SysInfo) };
    assert_eq!(m.call(0, info), status(Status::OPERAND_INVALID, 8));
    assert_eq!(m.get::<[u8; 1024]>(BUFFER), [0; 1024]);
    assert_eq!(m.get::<u8>(BUFFER + 1024), 0xAA);
}

#[test]
fn d00_leaves_of_dynamic_pamts_are_reported() {
    let mut m = Machine::new(1);
    m.boot_linux();
    for number in [58, 59] {
        assert_eq!(m.call(0, Regs { rax: number, ..Regs::default() }), status(Status::OPERAND_INVALID, 0));
        assert!(m.completion.unmodelled, "{number}");
    }
}

#[test]
fn a16_what_fits_is_reckoned_with_whole_entries_of_tables() {
    let mut shut = Machine::new(1);
    shut.boot_linux();
    let hv = shut.field(0x8900_0001_0000_0000);
    shut.ok(0, Regs { rcx: hv, ..call(Leaf::SysShutdown) });
    let fits = |handoff: u16| {
        let mut m = shut.clone();
        let file = image(&ImageSpec { num_handoff_pages: handoff, ..ImageSpec::version(1, 5, 7) });
        m.install(&file, 1) == Answer::Status(Status::SUCCESS)
    };
    let candidates: Vec<u16> = (30_000..32_000).collect();
    let largest = candidates.partition_point(|pages| fits(*pages)) as u16 + 29_999;
    // Of 124 MB, 31,744 pages: system information 1, code 512, VMCS 1, stacks 3, local data 2, global data 16, so 535. Tables:
    // one at the top, one for each of five small areas, and for 31,159 pages of data 61 and 1. Rounded up at each level they
    // would be 11 more.
    assert_eq!(u64::from(largest) + 1, 31_744 - 535 - (1 + 5 + 61 + 1));
}

#[test]
fn a26_no_new_sys_call_begins_while_the_module_is_being_disabled() {
    let spec = ImageSpec { features0: ImageSpec::default().features0 | 1 << 53, ..ImageSpec::default() };
    let mut durations = Durations::default();
    durations.leaf_ns.insert("TDH.SYS.RD".to_owned(), 1000);
    let mut m = Machine::with(Config { durations, ..Config::for_lps(3) }, &spec);
    m.boot_linux();
    let read = Regs { rdx: 0x0800_0001_0000_0004, ..call(Leaf::SysRd) };
    assert!(matches!(m.execute(1, read).0, Reply::Wait { .. }));
    let busy = status(Status::SYS_BUSY, 0);
    assert_eq!(m.call(0, call(Leaf::SysDisable)), busy);
    assert_eq!(m.call(2, call(Leaf::SysInfo)), busy, "it would have kept the module busy");
    assert_eq!(m.call(2, Regs { rcx: 0x3000_0000, ..call(Leaf::PhymemPageRdmd) }), status(Status::SUCCESS, 0));
    assert_eq!(m.call(0, call(Leaf::SysDisable)), busy, "the first call lasts");
    m.now_ns += 1000;
    m.ok(1, read);
    m.ok(0, call(Leaf::SysDisable));
    assert_eq!(m.call(0, call(Leaf::SysInfo)), status(Status::SYS_SHUTDOWN, 0));
}
