//! Differences that `seam-conform` found by running the published source of 1.5.05, 1.5.16 and 1.5.25 beside the model.

use super::{invalid, pending, ready, status};
use crate::common::td::{SCRIPT_GPA, params};
use crate::common::{Answer, GLOBAL_KEYID, Machine, call};
use seam_emu::abi::status::Operand;
use seam_emu::abi::{Leaf, Status};
use seam_emu::{Generation, Regs};

const RUN: [Generation; 3] = [Generation::V1_5_05, Generation::V1_5_16, Generation::V1_5_25];

#[test]
fn f01_xfam_may_have_supervisor_state() {
    for generation in RUN {
        let mut m = pending(generation);
        m.init_lps();
        assert_eq!(m.field(0x1900_0003_0000_0002), 0x6_DBE7, "{generation:?}: PT, CET, user interrupts and LBRs, too");
    }
}

#[test]
fn f02_1_5_16_has_event_filters_and_the_cpuid_rows_of_1_5_25() {
    let mut m = pending(Generation::V1_5_16);
    m.init_lps();
    assert_eq!((m.field(0x9900_0000_0000_0009), m.field(0x9900_0001_0000_000A)), (45, 512));
    assert_eq!(m.field(0x9900_0001_0000_0004), 28, "rows");
    assert_eq!(m.field(0xA000_0000_0000_0022), 9, "pages of a vCPU's state");
}

#[test]
fn f03_an_entry_tells_of_user_mode_from_1_5_16_on() {
    for (generation, permissions) in RUN.into_iter().zip([7, 0x407, 0x407]) {
        let mut m = ready(generation);
        let mut td = m.td_initialized(&params(), 0);
        m.td_tables(&mut td);
        let again = m.call(0, Regs { rcx: 1, rdx: td.tdr, r8: td.page(), ..call(Leaf::MemSeptAdd) });
        assert_eq!(again, status(0xC000_0B0D_0000_0001), "{generation:?}");
        assert_eq!((m.regs.rcx, m.regs.rdx), (permissions, 0x8401), "{generation:?}");
    }
}

/// TDH.MNG.INIT with bit 0 of RCX.
fn init(generation: Generation, attributes: u64) -> Answer {
    let mut m = ready(generation);
    let mut td = m.td_create(0);
    m.td_keys(&mut td);
    let mut wanted = params();
    wanted.attributes |= attributes;
    let regs = m.td_init_call(&td, &wanted);
    m.call(0, Regs { rcx: td.tdr | 1, ..regs })
}

/// Only TDs with performance monitoring have event filters; those are not modelled.
#[test]
fn f04_bit_0_of_mng_inits_tdr_asks_for_event_filters_from_1_5_16_on() {
    assert_eq!(init(Generation::V1_5_05, 0), invalid(Operand::Rcx));
    for generation in [Generation::V1_5_16, Generation::V1_5_25] {
        assert_eq!(init(generation, 0), Answer::Status(Status::SUCCESS), "{generation:?}");
        assert_eq!(init(generation, 1 << 63), invalid(Operand::R8), "{generation:?}");
    }
}

#[test]
fn f04_a_tdr_outside_of_the_tdmrs_is_told_so() {
    let outside = |generation| {
        let mut m: Machine = ready(generation);
        m.call(0, Regs { rcx: 4 << 30 | 1, ..call(Leaf::MngInit) })
    };
    assert_eq!(outside(Generation::V1_5_05), invalid(Operand::Rcx), "unaligned");
    assert_eq!(outside(Generation::V1_5_25), status(0xC000_0101_0000_0001));
}

#[test]
fn f05_no_page_for_a_table_is_told_before_that_the_table_is_there() {
    let mut m = ready(Generation::V1_5_05);
    let mut td = m.td_initialized(&params(), 0);
    m.td_tables(&mut td);
    let add = |level| Regs { rcx: level, rdx: td.tdr, r8: u64::MAX, ..call(Leaf::MemSeptAdd) };
    assert_eq!(m.call(0, add(1)), invalid(Operand::R8));
}

#[test]
fn f06_the_first_shared_ept_pointer_has_the_tds_keyid() {
    let mut m = ready(Generation::V1_5_05);
    let mut td = m.td_initialized(&params(), 0);
    m.td_vcpu(&mut td, 0);
    m.ok(0, Regs { rcx: td.vcpus[0], rdx: 0x0024_0003_0000_203C, ..call(Leaf::VpRd) });
    assert_eq!(m.regs.r8 >> 46, GLOBAL_KEYID + 1);
    assert!(td.pages().any(|page| page == m.regs.r8 & ((1 << 46) - 1)), "a page of the TD's: {:#x}", m.regs.r8);
}

/// The model told the id that its table has.
#[test]
fn f07_the_next_field_of_a_run_has_the_element_size_that_was_asked_for() {
    let mut m = pending(Generation::V1_5_05);
    m.init_lps();
    for (id, next) in
        [(4, 5), (0x2_0000_0004, 0x2_0000_0005), (8, 0x0800_0002_0000_0000), (0x20_0002_0000_0005, 0x2_0000_0006)]
    {
        m.ok(0, Regs { rdx: id, ..call(Leaf::SysRd) });
        assert_eq!(m.regs.rdx, next, "{id:#x}");
    }
}

#[test]
fn f08_unblocking_what_was_not_tracked_names_the_entry_from_1_5_05_on() {
    for (generation, operand) in [(Generation::V1_5_01, 0x92), (Generation::V1_5_05, 1), (Generation::V1_5_25, 1)] {
        let mut m = ready(generation);
        let mut td = m.td_initialized(&params(), 0);
        // Version 0, which all have.
        let tdvpr = td.page();
        m.ok(0, Regs { rcx: tdvpr, rdx: td.tdr, ..call(Leaf::VpCreate) });
        for _ in 1..6 {
            m.ok(0, Regs { rcx: td.page(), rdx: tdvpr, ..call(Leaf::VpAddcx) });
        }
        m.ok(0, Regs { rcx: tdvpr, ..call(Leaf::VpInit) });
        m.td_tables(&mut td);
        m.td_load(&mut td, SCRIPT_GPA, &[0; 4096]);
        m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MrFinalize) });
        let page = Regs { rcx: SCRIPT_GPA, rdx: td.tdr, ..Regs::default() };
        m.ok(0, Regs { rax: Leaf::MemRangeBlock.number(), ..page });
        let answer = m.call(0, Regs { rax: Leaf::MemRangeUnblock.number(), ..page });
        assert_eq!(answer, status(0xC000_0B08_0000_0000 | operand), "{generation:?}");
    }
}
