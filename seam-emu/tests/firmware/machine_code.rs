//! TDs that run machine code on a processor that is not the model's.

use crate::common::td::{SCRIPT_GPA, Td, params};
use crate::common::{Answer, Machine, call};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Config, Outcome, Regs, Reply, Translation, VpEntry};

/// Not a script: its magic is missing.
const CODE: [u8; 4096] = [0x90; 4096];

fn machine(machine_code: bool) -> Machine {
    let mut m = Machine::with(Config { machine_code, ..Config::for_lps(2) }, &ImageSpec::default());
    m.boot_linux();
    m
}

/// A TD with a page of code, and one vCPU for each LP.
fn td(m: &mut Machine, lps: &[usize]) -> Td {
    m.td_of(&params(), 0, lps, &CODE)
}

fn enter(m: &mut Machine, td: &Td, lp: usize) -> VpEntry {
    match m.execute(lp, Regs { rcx: td.vcpus[lp], ..call(Leaf::VpEnter) }).0 {
        Reply::Enter(entry) => entry,
        other => panic!("{other:?}"),
    }
}

fn translate(m: &mut Machine, gpa: u64, write: bool) -> Translation {
    m.firmware.translate(0, &mut m.memory, gpa, write)
}

#[test]
fn a_vcpu_with_code_is_entered_and_left() {
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    let entry = enter(&mut m, &td, 0);
    let start = entry.start.expect("the first time");
    assert_eq!((entry.tdr, entry.tdvpr, entry.vcpus), (td.tdr, td.vcpus[0], 1));
    assert_eq!((start.initial_rcx, start.index, start.gpaw, start.xfam, start.max_vcpus), (SCRIPT_GPA, 0, 48, 3, 4));
    let completion = m.firmware.leave_td(0, true, false);
    assert_eq!(completion.outcome, Outcome::Return);
    assert!(m.firmware.held_locks().is_empty());
    assert_eq!(enter(&mut m, &td, 0).start, None, "it was entered before");
}

#[test]
fn without_machine_code_it_only_halts() {
    let mut m = machine(false);
    let td = td(&mut m, &[0]);
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!(m.regs.r11, 12, "HLT");
}

#[test]
fn scripts_are_scripts_with_machine_code_too() {
    let mut m = machine(true);
    let script = Script::new().then(Op::Set, 0, 5).then(Op::Out, 0, 0x3F8);
    let td = m.td(0, &[0], &script);
    assert_eq!(m.enter(&td, 0, 0), 77);
    assert_eq!((m.regs.r11, m.regs.r15), (30, 5));
    assert_eq!(m.enter(&td, 0, 0), 77);
}

#[test]
fn a_vcpu_that_runs_is_inside_its_epoch() {
    let mut m = machine(true);
    let td = td(&mut m, &[0, 1]);
    enter(&mut m, &td, 0);
    let track = Regs { rcx: td.tdr, ..call(Leaf::MemTrack) };
    m.ok(1, track);
    assert_eq!(m.call(1, track), Answer::Status(Status::PREVIOUS_TLB_EPOCH_BUSY));
    m.firmware.leave_td(0, false, false);
    m.ok(1, track);
}

#[test]
fn a_dead_vcpu_is_not_entered_again() {
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    enter(&mut m, &td, 0);
    m.firmware.leave_td(0, false, true);
    let answer = m.call(0, Regs { rcx: td.vcpus[0], ..call(Leaf::VpEnter) });
    assert!(
        matches!(answer, Answer::Status(status) if status.0 & !0xFF == Status::VCPU_STATE_INCORRECT.0),
        "{answer:?}"
    );
}

#[test]
fn accesses_lead_where_the_secure_ept_says() {
    let mut m = machine(true);
    let mut td = td(&mut m, &[0, 1]);
    let first = enter(&mut m, &td, 0);
    let Translation::Page { writable: true, pa } = translate(&mut m, SCRIPT_GPA + 8, false) else { panic!("a page") };
    assert!(td.pages().any(|page| page == pa), "whole pages");
    let nothing = Translation::Violation { rwx: 0, details: 0 };
    assert_eq!(translate(&mut m, SCRIPT_GPA + 0x1000, true), nothing);
    assert_eq!(translate(&mut m, 1 << 47, true), nothing, "no shared table");
    let pending = td.page();
    m.ok(1, Regs { rcx: SCRIPT_GPA + 0x1000, rdx: td.tdr, r8: pending, ..call(Leaf::MemPageAug) });
    let is_pending = Translation::Violation { rwx: 0, details: 6 };
    assert_eq!(translate(&mut m, SCRIPT_GPA + 0x1000, true), is_pending, "SEPT_VE_DISABLE");
    m.ok(1, Regs { rcx: SCRIPT_GPA, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
    assert_eq!(translate(&mut m, SCRIPT_GPA, false), nothing, "for new translations");
    m.firmware.leave_td(0, false, false);
    assert_ne!(enter(&mut m, &td, 0).translations, first.translations, "old ones must go");
}

#[test]
fn no_two_tds_have_the_same_translations() {
    let mut m = machine(true);
    let first = td(&mut m, &[0]);
    let before = enter(&mut m, &first, 0).translations;
    m.firmware.leave_td(0, false, false);
    m.td_destroy(&first, &[0]);
    let second = td(&mut m, &[0]);
    assert_eq!(second.tdr, first.tdr);
    assert_ne!(enter(&mut m, &second, 0).translations, before);
}

#[test]
fn an_injected_nmi_is_told_once() {
    const PEND_NMI: u64 = 32 << 56 | 0xB;
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    m.ok(0, Regs { rcx: td.vcpus[0], rdx: PEND_NMI, r8: 1, r9: 0xFF, ..call(Leaf::VpWr) });
    assert!(enter(&mut m, &td, 0).nmi);
    m.firmware.leave_td(0, false, false);
    assert!(!enter(&mut m, &td, 0).nmi);
}

#[test]
#[should_panic(expected = "runs no vCPU")]
fn cannot_leave_what_was_not_entered() {
    machine(true).firmware.leave_td(0, false, false);
}
