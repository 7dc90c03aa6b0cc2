//! What leaves and exits tell of a TD's memory. Sources: TDX module `sept_manager.c`, `td_ept_violation.c`,
//! `td_other_exits.c`, `tdg_mem_page_accept.c`, `tdh_mr_extend.c`.

use super::status;
use crate::common::td::{SCRIPT_GPA, Td, params};
use crate::common::{Answer, Machine, call};
use seam_emu::abi::td_params::TdParams;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Config, Durations, Regs, Reply};

const VIOLATION: u64 = 48;

/// A TD that runs this, without `SEPT_VE_DISABLE` if `ve`.
fn td(script: &Script, ve: bool) -> (Machine, Td) {
    let mut m = Machine::new(1);
    m.boot_linux();
    let usual = params();
    let params = if ve { TdParams { attributes: 0, ..usual } } else { usual };
    let td = m.td_with(&params, 0, &[0], script);
    (m, td)
}

/// Adds a pending page.
fn aug(m: &mut Machine, td: &mut Td, gpa: u64) -> u64 {
    let page = td.page();
    m.ok(0, Regs { rcx: gpa, rdx: td.tdr, r8: page, ..call(Leaf::MemPageAug) });
    page
}

#[test]
fn a04_a_violation_tells_the_access_and_the_page() {
    for (op, rcx) in [(Op::Store, 2), (Op::Load, 1)] {
        let (mut m, td) = td(&Script::new().then(op, 0, 0x0123_4567), false);
        assert_eq!(m.enter(&td, 0, 0), VIOLATION);
        assert_eq!((m.regs.rcx, m.regs.rdx, m.regs.r8, m.regs.r9), (rcx, 0, 0x0123_4000, 0));
    }
}

#[test]
fn a04_accepting_no_page_tells_what_was_found_where() {
    for (gpa, block, level, state, leaf) in
        [(0x9000, false, 0, 0, 0), (0x20_0000, false, 1, 0, 0), (1 << 30, false, 2, 0, 0), (0xA000, true, 0, 3, 1)]
    {
        let (mut m, mut td) = td(&Script::new().then(Op::Accept, 0, gpa), false);
        if block {
            aug(&mut m, &mut td, gpa);
            m.ok(0, Regs { rcx: gpa, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
        }
        assert_eq!(m.enter(&td, 0, 0), VIOLATION);
        let details = 1 | (level << 3 | state << 6 | leaf << 14) << 32;
        assert_eq!((m.regs.rcx, m.regs.rdx, m.regs.r8), (2, details, gpa), "{gpa:#x}");
    }
}

#[test]
fn a04_a_pending_page_leaves_to_the_vmm_with_sept_ve_disable() {
    let (mut m, mut td) = td(&Script::new().then(Op::Store, 0, 0x9008).then(Op::Halt, 0, 0), false);
    aug(&mut m, &mut td, 0x9000);
    for _ in 0..2 {
        assert_eq!(m.enter(&td, 0, 0), VIOLATION);
        assert_eq!((m.regs.rcx, m.regs.rdx, m.regs.r8), (2, 6, 0x9000));
    }
}

#[test]
fn a04_a_pending_page_gives_a_ve_without_sept_ve_disable() {
    let (mut m, mut td) = td(&Script::new().then(Op::Store, 0, 0x9008).then(Op::Halt, 0, 0), true);
    aug(&mut m, &mut td, 0x9000);
    // A script has no handler, so the #VE ends in a triple fault, which ends the vCPU.
    assert_eq!(m.enter(&td, 0, 0), 0x4000_0001_0000_0002);
    assert_eq!((m.regs.rcx, m.regs.rdx, m.regs.r8), (0, 0, 0));
    assert_eq!(m.enter(&td, 0, 0), Status::VCPU_STATE_INCORRECT.0);
    let nmi = Regs { rcx: td.vcpus[0], rdx: 0x2000_0000_0000_000B, r9: 1, ..call(Leaf::VpRd) };
    m.ok(0, nmi);
    assert_eq!(m.call(0, Regs { rax: Leaf::VpWr.number(), ..nmi }), status(Status::VCPU_STATE_INCORRECT, 0));
    m.td_destroy(&td, &[0]);
}

#[test]
fn a12_errors_tell_the_entry_as_the_processor_sees_it() {
    let (mut m, mut td) = td(&Script::new(), false);
    let table = td.pages().nth(15).expect("the last table");
    let page = aug(&mut m, &mut td, 0x9000);
    let seen = |m: &Machine| (m.regs.rcx, m.regs.rdx);
    let again = Regs { rcx: 0x9000, rdx: td.tdr, r8: td.page(), ..call(Leaf::MemPageAug) };
    let taken = status(Status::EPT_ENTRY_STATE_INCORRECT, 1);
    assert_eq!(m.call(0, again), taken);
    assert_eq!(seen(&m), (1 << 63 | page | 0xF0, 2 << 8), "pending");
    m.ok(0, Regs { rcx: 0x9000, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
    assert_eq!(m.call(0, again), taken);
    assert_eq!(seen(&m), (1 << 63 | page | 0xF0, 3 << 8), "pending and blocked");
    assert_eq!(m.call(0, Regs { rcx: SCRIPT_GPA, ..again }), taken);
    let script = td.pages().nth(16).expect("the script's page");
    assert_eq!(seen(&m), (1 << 63 | script | 0xF7, 4 << 8), "mapped");
    assert_eq!(m.call(0, Regs { rcx: 1, rdx: td.tdr, r8: td.page(), ..call(Leaf::MemSeptAdd) }), taken);
    assert_eq!(seen(&m), (7, 1 | 132 << 8), "a table at {table:#x}, which is not told");
    m.ok(0, Regs { rcx: 1, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
    assert_eq!(m.call(0, again), status(Status::EPT_WALK_FAILED, 1));
    assert_eq!(seen(&m), (0, 1 | 129 << 8), "a blocked table");
}

#[test]
fn a13_only_a_page_in_the_tds_reach_can_be_measured() {
    let mut m = Machine::new(1);
    m.boot_linux();
    let mut td = m.td_initialized(&params(), 0);
    m.td_tables(&mut td);
    let absent = Answer::Status(Status(0xC000_0B03_0000_0001));
    let extend = |gpa| Regs { rcx: gpa, rdx: td.tdr, ..call(Leaf::MrExtend) };
    assert_eq!(m.call(0, extend(0x9000)), absent);
    assert_eq!((m.regs.rcx, m.regs.rdx), (1 << 63, 0), "free");
    let mut spare = td.clone();
    let page = aug(&mut m, &mut spare, 0x9000);
    assert_eq!(m.call(0, extend(0x9000)), absent);
    assert_eq!((m.regs.rcx, m.regs.rdx), (1 << 63 | page | 0xF0, 2 << 8), "pending");
    m.td_load(&mut spare, 0xA000, &[0; 4096]);
    m.ok(0, Regs { rcx: 0xA000, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
    assert_eq!(m.call(0, extend(0xA000)), absent);
    assert_eq!(m.regs.rdx, 1 << 8, "blocked");
}

#[test]
fn d00_a_vcpu_that_faults_seven_times_at_one_instruction_runs_only_when_all_is_mapped() {
    let script = Script::new().then(Op::Store, 0, 0x9008).then(Op::Halt, 0, 0);
    let mut durations = Durations::default();
    durations.leaf_ns.insert("TDH.MEM.SEPT.ADD".to_owned(), 1000);
    let mut m = Machine::with(Config { durations, ..Config::for_lps(2) }, &ImageSpec::default());
    m.boot_linux();
    let mut td = m.td(0, &[0], &script);
    for _ in 0..7 {
        assert_eq!(m.enter(&td, 0, 0), VIOLATION);
    }
    // From now on the tree is locked at each entry: one that another LP works on is busy.
    let other = Regs { rcx: 1, rdx: td.tdr | 1, r8: td.page(), ..call(Leaf::MemSeptAdd) };
    assert!(matches!(m.execute(1, other).0, Reply::Wait { .. }));
    assert_eq!(m.enter(&td, 0, 0), Status::OPERAND_BUSY.0 | 0x92);
    m.now_ns += 1000;
    m.ok(1, other);
    assert_eq!(m.enter(&td, 0, 0), VIOLATION, "without running");
    assert_eq!((m.regs.rcx, m.regs.rdx, m.regs.r8), (2, 0, 0x9000));
    aug(&mut m, &mut td, 0x9000);
    assert_eq!(m.enter(&td, 0, 0), VIOLATION, "pending is not in reach");
    assert_eq!((m.regs.rcx, m.regs.rdx), (2, 0), "and nobody is told why");
}

#[test]
fn d00_a_page_that_is_accepted_late_is_no_suspicion() {
    let (mut m, mut td) = td(&Script::new().then(Op::Accept, 0, 0x9000).then(Op::Halt, 0, 0), false);
    for _ in 0..20 {
        assert_eq!(m.enter(&td, 0, 0), VIOLATION);
    }
    aug(&mut m, &mut td, 0x9000);
    assert_eq!(m.enter(&td, 0, 0), 77, "it accepts the page, and halts");
}
