//! Versions of leaves: which the dispatcher lets through, and what a leaf says to one that it does not have.

use super::{DATA_SIZE, DATA_VALID, hand_over, invalid, pending, ready, status};
use crate::common::{Answer, BUFFER, Machine, call};
use seam_emu::abi::field::NO_FIELD;
use seam_emu::abi::status::Operand;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::{Generation, Regs};

/// `OPERAND_INVALID` for RAX.
const BAD_LEAF: Answer = Answer::Status(Status::OPERAND_INVALID);
const UPDATE_COMPATIBILITY: u64 = 1 << 47;

/// A call of another version of the leaf.
fn version(leaf: Leaf, version: u64) -> Regs {
    Regs { rax: leaf.number() | version << 16, ..Regs::default() }
}

/// UPDATE is pending for 1.5.25.
fn updating() -> Machine {
    let mut m = ready(Generation::V1_5_16);
    hand_over(&mut m, &ImageSpec::of(Generation::V1_5_25));
    m
}

/// 1.5.25 finds no handoff data.
fn loaded() -> Machine {
    let mut m = pending(Generation::V1_5_25);
    m.init_lps();
    m
}

#[test]
fn a06_a_version_is_let_through_where_the_generation_has_one() {
    use Generation::{Configurable, V1_5_01, V1_5_05, V1_5_16, V1_5_25};
    for (leaf, with) in [
        (Leaf::MngRd, &[Configurable, V1_5_01, V1_5_05, V1_5_16, V1_5_25][..]),
        (Leaf::VpInit, &[Configurable, V1_5_05, V1_5_16, V1_5_25]),
        (Leaf::SysInit, &[V1_5_16, V1_5_25]),
        (Leaf::SysConfig, &[V1_5_25]),
        (Leaf::SysUpdate, &[Configurable, V1_5_25]),
        (Leaf::SysRd, &[]),
    ] {
        for generation in Generation::ALL {
            let mut m = ready(generation);
            m.ok(0, Regs { rcx: u64::from(generation == V1_5_25), ..call(Leaf::SysShutdown) });
            // That the module is shut down is looked at after the version.
            let expected = if with.contains(&generation) { Answer::Status(Status::SYS_SHUTDOWN) } else { BAD_LEAF };
            for number in [1, 2, 255] {
                assert_eq!(m.call(0, version(leaf, number)), expected, "{leaf:?} version {number} of {generation:?}");
            }
        }
    }
}

#[test]
fn a06_a_leaf_that_refuses_a_version_has_set_its_outputs() {
    let mut m = ready(Generation::V1_5_05);
    for leaf in [Leaf::MngRd, Leaf::VpRd] {
        assert_eq!(m.call(0, Regs { r8: 7, rdx: 7, ..version(leaf, 2) }), BAD_LEAF);
        assert_eq!((m.regs.rdx, m.regs.r8), (NO_FIELD, 0), "{leaf:?}");
    }
    assert_eq!(m.call(0, version(Leaf::VpInit, 2)), BAD_LEAF);
    let mut m = pending(Generation::V1_5_25);
    let all = Regs { rcx: 1, rdx: 2, r8: 3, r9: 4, r10: 5, ..version(Leaf::SysInit, 2) };
    assert_eq!(m.call(0, all), BAD_LEAF);
    assert_eq!([m.regs.rcx, m.regs.rdx, m.regs.r8, m.regs.r9, m.regs.r10], [0; 5]);
}

#[test]
fn a06_config_has_a_version_1_in_1_5_25() {
    let mut m = pending(Generation::V1_5_25);
    m.init_lps();
    let plain = m.config_call(&Machine::tdmr());
    let with = |number: u64, r9, r10| Regs { rax: plain.rax | number << 16, r9, r10, ..plain };
    assert_eq!(m.call(0, with(2, 0, 0)), BAD_LEAF);
    assert_eq!(m.call(0, with(1, 1 << 62, 0)), invalid(Operand::R9));
    assert_eq!(m.call(0, with(1, 0, 1)), invalid(Operand::R10));
    let dynamic = Regs { r8: plain.r8 | 1 << 16, ..plain };
    assert_eq!(m.call(0, dynamic), invalid(Operand::R8));
    assert!(m.completion.unmodelled, "dynamic PAMT is told to be missing");
    m.ok(0, with(1, UPDATE_COMPATIBILITY, 0));
    let mut old = pending(Generation::V1_5_16);
    old.init_lps();
    let plain = old.config_call(&Machine::tdmr());
    assert_eq!(old.call(0, Regs { rax: plain.rax | 1 << 16, ..plain }), BAD_LEAF);
    assert_eq!(old.call(0, Regs { r8: plain.r8 | 1 << 16, ..plain }), invalid(Operand::R8));
    assert!(!old.completion.unmodelled, "it has no dynamic PAMT");
    old.ok(0, plain);
}

#[test]
fn e01_update_takes_the_data_over_before_it_looks_at_its_operands() {
    let update = |r9, r10| Regs { r9, r10, ..version(Leaf::SysUpdate, 1) };
    assert_eq!(loaded().call(0, update(1 << 62, 0)), status(0xC000_0509_0000_0000));
    let mut m = updating();
    assert_eq!(m.call(0, update(1 << 62, 1)), invalid(Operand::R9));
    assert_eq!(m.call(0, update(1, 1)), invalid(Operand::R10));
    assert_eq!((m.field(DATA_VALID), m.field(DATA_SIZE)), (1, 53_386), "the data are still there");
    m.ok(0, update(UPDATE_COMPATIBILITY, 0));
    assert_eq!((m.field(DATA_VALID), m.field(DATA_SIZE)), (0, 0));
    assert_eq!(m.call(0, update(1 << 62, 0)), Answer::Status(Status::SYS_STATE_INCORRECT), "the state comes first");
}

#[test]
fn e02_update_of_a_later_version_is_refused_by_the_leaf_itself() {
    for number in [2, 3, 255] {
        let update = version(Leaf::SysUpdate, number);
        assert_eq!(ready(Generation::V1_5_25).call(0, update), status(0xC000_0508_0000_0000), "READY");
        assert_eq!(loaded().call(0, update), status(0xC000_0509_0000_0000), "no handoff data");
        let mut m = updating();
        assert_eq!(m.call(0, update), status(0xC000_0100_0000_0000));
        m.ok(0, call(Leaf::SysUpdate));
    }
}

#[test]
fn e03_sys_init_is_told_where_fatal_errors_go() {
    const NOWHERE: u64 = ((1 << 46) - 1) << 6;
    for (name, r8, ok) in [
        ("no logging, no interrupt", NOWHERE, true),
        ("a line", BUFFER, true),
        ("the second line of a page", BUFFER | 64, true),
        ("reserved bits", NOWHERE | 1, false),
        ("reserved bits above", NOWHERE | 1 << 52, false),
        ("a private line", BUFFER | 32 << 46, false),
        ("a vector", NOWHERE | 1 << 54 | 16 << 56, true),
        ("a vector of exceptions", NOWHERE | 1 << 54 | 15 << 56, false),
        ("an NMI", NOWHERE | 2 << 54, true),
        ("an SMI, whose vector is ignored", NOWHERE | 3 << 54 | 1 << 56, true),
    ] {
        let mut m = pending(Generation::V1_5_25);
        let answer = m.call(0, Regs { r8, ..version(Leaf::SysInit, 1) });
        assert_eq!(answer, status(if ok { 0 } else { 0xC000_0100_0000_0008 }), "{name}");
        if !ok {
            m.ok(0, Regs { r8: NOWHERE, ..version(Leaf::SysInit, 1) });
        }
    }
    pending(Generation::V1_5_25).ok(0, Regs { r8: 1, ..call(Leaf::SysInit) });
    assert_eq!(pending(Generation::V1_5_05).call(0, version(Leaf::SysInit, 1)), BAD_LEAF);
}

#[test]
fn e15_the_newest_has_no_sys_disable() {
    assert_eq!(ready(Generation::V1_5_25).call(0, call(Leaf::SysDisable)), BAD_LEAF);
}
