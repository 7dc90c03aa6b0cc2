//! TDs that run machine code on a processor that is not the model's.

use crate::common::td::{SCRIPT_GPA, Td, params};
use crate::common::{Answer, Machine, call};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Config, GuestMemory, Outcome, Registers, Regs, Reply, TdExit, TdcallEnd, Translation, VpEntry};

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
    let completion = m.firmware.leave_td(0, TdExit { vmcall: true, ..TdExit::default() });
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
    m.firmware.leave_td(0, TdExit::default());
    m.ok(1, track);
}

#[test]
fn a_dead_vcpu_is_not_entered_again() {
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    enter(&mut m, &td, 0);
    m.firmware.leave_td(0, TdExit { dead: true, ..TdExit::default() });
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
    m.firmware.leave_td(0, TdExit::default());
    assert_ne!(enter(&mut m, &td, 0).translations, first.translations, "old ones must go");
}

#[test]
fn no_two_tds_have_the_same_translations() {
    let mut m = machine(true);
    let first = td(&mut m, &[0]);
    let before = enter(&mut m, &first, 0).translations;
    m.firmware.leave_td(0, TdExit::default());
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
    m.firmware.leave_td(0, TdExit::default());
    assert!(!enter(&mut m, &td, 0).nmi);
}

#[test]
#[should_panic(expected = "runs no vCPU")]
fn cannot_leave_what_was_not_entered() {
    machine(true).firmware.leave_td(0, TdExit::default());
}

/// The vCPU's first TDCALL with these registers, and its RAX afterwards.
fn tdcall(m: &mut Machine, mut regs: Regs) -> (TdcallEnd, u64) {
    let end = m.firmware.tdcall(0, &mut m.memory, &mut regs);
    (end, regs.rax)
}

#[test]
fn a_pending_page_is_accepted_and_is_zero() {
    let mut m = machine(true);
    let mut td = td(&mut m, &[0, 1]);
    enter(&mut m, &td, 0);
    let gpa = SCRIPT_GPA + 0x1000;
    let accept = Regs { rax: 6, rcx: gpa, ..Regs::default() };
    // Type 1, ACCEPT; a free entry of level 0 was wanted and found (`async_tdexit_ept_violation`).
    let missing = TdcallEnd::Violation { gpa, rwx: 0, details: 1 };
    assert_eq!(tdcall(&mut m, accept), (missing, 6), "the VMM has to add it");
    let page = td.page();
    m.memory.write(page, &[0xEE; 4096]).unwrap();
    m.ok(1, Regs { rcx: gpa, rdx: td.tdr, r8: page, ..call(Leaf::MemPageAug) });
    assert_eq!(tdcall(&mut m, accept), (TdcallEnd::Done, 0));
    let mut bytes = [1; 4096];
    m.memory.read(page, &mut bytes).unwrap();
    assert_eq!(bytes, [0; 4096]);
    assert_eq!(translate(&mut m, gpa, true), Translation::Page { pa: page, writable: true });
    assert_eq!(tdcall(&mut m, accept), (TdcallEnd::Done, Status::PAGE_ALREADY_ACCEPTED.0));
    let large = Regs { rcx: SCRIPT_GPA & !0x1F_FFFF | 1, ..accept };
    assert_eq!(tdcall(&mut m, large), (TdcallEnd::Done, Status::PAGE_SIZE_MISMATCH.0 | 1));
    let shared = Regs { rcx: 1 << 47, ..accept };
    assert_eq!(tdcall(&mut m, shared), (TdcallEnd::Done, Status::OPERAND_INVALID.0 | 1), "RCX");
}

#[test]
fn leaves_and_versions_that_do_not_exist_are_refused() {
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    enter(&mut m, &td, 0);
    for rax in [13, 0xFFFF, 1 << 16 | 2, 1 << 16 | 6, 2 << 16 | 7, 1 << 16 | 8, 1 << 63 | 6] {
        assert_eq!(
            tdcall(&mut m, Regs { rax, ..Regs::default() }),
            (TdcallEnd::Done, 0xC000_0100_0000_0000),
            "{rax:#x}"
        );
    }
}

#[test]
fn posted_interrupts_come_with_their_notification() {
    const PIN_BASED_CONTROLS: u64 = 0x4000;
    const NOTIFICATION_VECTOR: u64 = 2;
    const DESCRIPTOR_ADDRESS: u64 = 0x2016;
    const DESCRIPTOR: u64 = 0x20_0040;
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    for (field, value, mask) in [
        (NOTIFICATION_VECTOR, 0xF2, 0xFFFF),
        (DESCRIPTOR_ADDRESS, DESCRIPTOR, u64::MAX),
        (PIN_BASED_CONTROLS, 0x80, 0x80),
    ] {
        m.ok(0, Regs { rcx: td.vcpus[0], rdx: field, r8: value, r9: mask, ..call(Leaf::VpWr) });
    }
    enter(&mut m, &td, 0);
    let mut descriptor = [0; 64];
    (descriptor[8], descriptor[32], descriptor[34]) = (1 << 4, 1, 0xF2);
    m.memory.write(DESCRIPTOR, &descriptor).unwrap();
    assert_eq!(m.firmware.posted(0, &mut m.memory, 0xEC), None, "the VMM's own");
    assert_eq!(m.firmware.posted(0, &mut m.memory, 0xF2), Some([0, 1 << 4, 0, 0]));
    assert_eq!(m.firmware.posted(0, &mut m.memory, 0xF2), Some([0; 4]), "each comes once");
    m.memory.read(DESCRIPTOR, &mut descriptor).unwrap();
    assert_eq!((descriptor[8], descriptor[32], descriptor[34]), (0, 0, 0xF2), "the rest of the descriptor stays");
}

#[test]
fn the_vmm_reads_whether_an_interrupt_waits() {
    const STATE_DETAILS: u64 = 17 << 56 | 3 << 32 | 0x100;
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    for waits in [true, false] {
        enter(&mut m, &td, 0);
        m.firmware.leave_td(0, TdExit { interrupt_waits: waits, ..TdExit::default() });
        m.ok(0, Regs { rcx: td.vcpus[0], rdx: STATE_DETAILS, ..call(Leaf::VpRd) });
        assert_eq!(m.regs.r8, u64::from(waits));
    }
}

#[test]
fn cpuid_is_the_modules_or_raises_ve() {
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    enter(&mut m, &td, 0);
    assert_eq!(m.firmware.td_cpuid(0, 0x21, 0), Some([0, 0x6574_6E49, 0x2020_2020, 0x5844_546C]));
    let last = m.firmware.td_cpuid(0, 0x23, 0);
    assert!(last.is_some());
    assert_eq!(m.firmware.td_cpuid(0, 0x24, 0), last, "beyond the last is the last");
    assert_eq!(m.firmware.td_cpuid(0, 0x9000_0000, 0), last);
    for (leaf, subleaf) in [(2, 0), (6, 0), (0x1F, 0), (0x4000_0000, 0), (0x4FFF_FFFF, 0), (0x8000_0006, 0)] {
        assert_eq!(m.firmware.td_cpuid(0, leaf, subleaf), None, "{leaf:#x}");
    }
}

/// R8 and RAX of TDG.VM.RD, version 0.
fn vm_read(m: &mut Machine, field: u64) -> (u64, u64) {
    let mut regs = Regs { rax: 7, rdx: field, r8: 5, ..Regs::default() };
    m.firmware.tdcall(0, &mut m.memory, &mut regs);
    (regs.r8, regs.rax)
}

#[test]
fn a_td_reads_what_it_may_know_of_itself() {
    let mut m = machine(true);
    let td = td(&mut m, &[0, 1]);
    enter(&mut m, &td, 0);
    for (field, value) in [
        (0x1110_0003_0000_0001, 3), // XFAM
        (0x1110_0002_0000_0002, 4), // MAX_VCPUS
        (0x9010_0002_0000_0001, 2), // NUM_VCPUS
        (0x9110_0003_0000_0010, 0), // NOTIFY_ENABLES
        (0x1110_0003_0000_0017, 1), // TD_CTLS: SEPT_VE_DISABLE
    ] {
        assert_eq!(vm_read(&mut m, field), (value, 0), "{field:#x}");
    }
    assert_eq!(vm_read(&mut m, 0x1110_0003_0000_000A), (0, Status::METADATA_FIELD_NOT_READABLE.0), "the VMM's");
    assert_eq!(vm_read(&mut m, 0x3F10_0003_0000_0000), (0, Status::METADATA_FIELD_ID_INCORRECT.0));
    let mut regs = Regs { rax: 1 << 16 | 7, rdx: u64::MAX, ..Regs::default() };
    m.firmware.tdcall(0, &mut m.memory, &mut regs);
    assert_eq!((regs.rax, regs.rdx), (Status::METADATA_FIRST_FIELD_ID_IN_CONTEXT.0, 0x8010_0003_0000_0020));
    let other = Regs { rax: 7, rcx: 1, ..Regs::default() };
    assert_eq!(tdcall(&mut m, other), (TdcallEnd::Done, Status::OPERAND_INVALID.0 | 1), "no nested VM");
}

#[test]
fn a_td_writes_what_it_may_change() {
    const NOTIFY_ENABLES: u64 = 0x9110_0003_0000_0010;
    const TD_CTLS: u64 = 0x1110_0003_0000_0017;
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    enter(&mut m, &td, 0);
    for (field, value, mask, status) in [
        (NOTIFY_ENABLES, 1, 1, Status::SUCCESS),
        (NOTIFY_ENABLES, 2, 2, Status::METADATA_FIELD_NOT_WRITABLE),
        (NOTIFY_ENABLES, 2, 3, Status::METADATA_FIELD_VALUE_NOT_VALID),
        (TD_CTLS, 1, 1, Status::SUCCESS),
        (TD_CTLS, 0, 1, Status::METADATA_FIELD_VALUE_NOT_VALID),
        (0x1110_0003_0000_0000, 0, 1, Status::METADATA_FIELD_NOT_WRITABLE),
    ] {
        let write = Regs { rax: 8, rdx: field, r8: value, r9: mask, ..Regs::default() };
        assert_eq!(tdcall(&mut m, write), (TdcallEnd::Done, status.0), "{field:#x} {value} {mask}");
    }
    assert_eq!(vm_read(&mut m, NOTIFY_ENABLES), (1, 0));
}

#[test]
fn run_time_measurements_are_a_chain_of_digests() {
    use sha2::{Digest, Sha384};
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    enter(&mut m, &td, 0);
    let extend = Regs { rax: 2, rcx: SCRIPT_GPA + 64, rdx: 2, ..Regs::default() };
    let digest = |m: &Machine| m.firmware.td_digests(&m.memory);
    let before = digest(&m);
    for _ in 0..2 {
        assert_eq!(tdcall(&mut m, extend), (TdcallEnd::Done, 0));
    }
    assert_ne!(digest(&m), before, "they belong to the TD");
    let first = Sha384::new().chain_update([0; 48]).chain_update(&CODE[..48]).finalize();
    let second = Sha384::new().chain_update(first).chain_update(&CODE[..48]).finalize();
    for (word, bytes) in second.chunks_exact(8).enumerate() {
        let value = u64::from_le_bytes(bytes.try_into().unwrap());
        assert_eq!(vm_read(&mut m, 0x1310_0003_0000_0040 + 12 + word as u64), (value, 0), "RTMR2, word {word}");
    }
    assert_eq!(vm_read(&mut m, 0x1310_0003_0000_0040), (0, 0), "RTMR0");
    for (rcx, rdx, operand) in [(SCRIPT_GPA + 8, 0, 1), (1 << 47, 0, 1), (SCRIPT_GPA, 4, 2)] {
        let refused = (TdcallEnd::Done, Status::OPERAND_INVALID.0 | operand);
        assert_eq!(tdcall(&mut m, Regs { rcx, rdx, ..extend }), refused);
    }
    let out_of_reach = TdcallEnd::Violation { gpa: SCRIPT_GPA + 0x1000, rwx: 0, details: 0 };
    assert_eq!(tdcall(&mut m, Regs { rcx: SCRIPT_GPA + 0x1000, ..extend }).0, out_of_reach);
}

#[test]
fn registers_belong_to_the_td() {
    const PA: u64 = 0x30_0000;
    let mut m = machine(true);
    let td = td(&mut m, &[0]);
    let digest = |m: &Machine| m.firmware.td_digests(&m.memory);
    enter(&mut m, &td, 0);
    let registers = Registers { pa: PA, bytes: 0x4000, general: PA + 0x1000 };
    m.firmware.leave_td(0, TdExit { registers, ..TdExit::default() });
    let before = digest(&m);
    m.memory.write(PA + 0x3FFF, &[1]).unwrap();
    assert_ne!(digest(&m), before);
    m.memory.write(PA + 0x3FFF, &[0]).unwrap();
    assert_eq!(digest(&m), before);
}
