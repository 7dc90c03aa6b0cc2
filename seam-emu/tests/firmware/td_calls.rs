//! TD leaves: calls that must fail, as tables of operands and statuses by the stage of the TD.

use crate::common::td::{SCRIPT_GPA, SOURCE, TD_PARAMS, Td, params};
use crate::common::{Answer, GLOBAL_KEYID, Machine, PAMT, call};
use seam_emu::Regs;
use seam_emu::abi::status::Operand as O;
use seam_emu::abi::td_params::TdParams;
use seam_emu::abi::{Leaf, Status};
use seam_emu::script::{Op, Script};

/// How far a TD is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    Created,
    Keyed,
    Allocated,
    Initialized,
    WithVcpu,
    Mapped,
    Runnable,
    Blocked,
    Teardown,
}
use Stage as S;

/// A machine of 2 LPs with a TD at a stage; its vCPU is on LP 0, its script at [`SCRIPT_GPA`].
fn at(stage: Stage) -> (Machine, Td) {
    let mut m = Machine::new(2);
    m.boot_linux();
    let mut td = m.td_create(0);
    if stage == S::Keyed {
        m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngKeyConfig) });
    }
    if stage >= S::Allocated {
        m.td_keys(&mut td);
    }
    if stage >= S::Initialized {
        let init = m.td_init_call(&td, &params());
        m.ok(0, init);
    }
    if stage >= S::WithVcpu {
        m.td_vcpu(&mut td, 0);
    }
    if stage >= S::Mapped {
        m.td_tables(&mut td);
        m.td_load(&mut td, SCRIPT_GPA, &Script::new().then(Op::Halt, 0, 0).to_pages());
    }
    if stage >= S::Runnable {
        m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MrFinalize) });
    }
    if stage >= S::Blocked {
        m.ok(0, Regs { rcx: td.vcpus[0], ..call(Leaf::VpFlush) });
        m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
    }
    if stage >= S::Teardown {
        m.td_wb_all();
        m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngKeyFreeid) });
    }
    (m, td)
}

/// A fresh page of the first TD's part of the pool.
fn fresh(td: &Td) -> u64 {
    td.tdr + 0xF_0000
}

/// Leaf, operands RCX, RDX, R8, R9 and the status that is expected.
type Case = (Leaf, [u64; 4], Status);

fn check(stage: Stage, cases: impl Fn(&Td) -> Vec<Case>) {
    let (machine, td) = at(stage);
    for (leaf, [rcx, rdx, r8, r9], expected) in cases(&td) {
        let mut m = machine.clone();
        let before = m.firmware.save();
        let answer = m.call(0, Regs { rcx, rdx, r8, r9, ..call(leaf) });
        assert_eq!(answer, Answer::Status(expected), "{stage:?}: {} {rcx:#x} {rdx:#x} {r8:#x}", leaf.name());
        if expected.is_error() {
            assert_eq!(m.firmware.save(), before, "{stage:?}: {} failed and left a trace", leaf.name());
        }
        assert_eq!(m.firmware.audit(), Vec::<String>::new());
    }
}

const INVALID: Status = Status::OPERAND_INVALID;
const METADATA: Status = Status::PAGE_METADATA_INCORRECT;
const RANGE: Status = Status::OPERAND_ADDR_RANGE_ERROR;

#[test]
fn a_created_td_waits_for_its_keys() {
    check(S::Created, |td| {
        let (tdr, page) = (td.tdr, fresh(td));
        vec![
            (Leaf::MngCreate, [page, td.keyid, 0, 0], Status::HKID_NOT_FREE),
            (Leaf::MngCreate, [page, GLOBAL_KEYID, 0, 0], Status::HKID_NOT_FREE),
            (Leaf::MngCreate, [page, GLOBAL_KEYID - 1, 0, 0], INVALID.operand(O::Rdx)),
            (Leaf::MngCreate, [page, 1 << 16 | GLOBAL_KEYID, 0, 0], INVALID.operand(O::Rdx)),
            (Leaf::MngCreate, [page + 8, td.keyid + 1, 0, 0], INVALID.operand(O::Rcx)),
            (Leaf::MngCreate, [2 << 30, td.keyid + 1, 0, 0], RANGE.operand(O::Rcx)),
            (Leaf::MngCreate, [PAMT, td.keyid + 1, 0, 0], METADATA.operand(O::Rcx)),
            (Leaf::MngCreate, [tdr, td.keyid + 1, 0, 0], METADATA.operand(O::Rcx)),
            (Leaf::MngAddcx, [page, tdr, 0, 0], Status::TD_KEYS_NOT_CONFIGURED),
            (Leaf::MngInit, [tdr, TD_PARAMS, 0, 0], Status::TD_KEYS_NOT_CONFIGURED),
            (Leaf::MngKeyConfig, [page, 0, 0, 0], METADATA.operand(O::Rcx)),
            (Leaf::MngKeyFreeid, [tdr, 0, 0, 0], Status::LIFECYCLE_STATE_INCORRECT),
            (Leaf::PhymemPageReclaim, [tdr, 0, 0, 0], Status::LIFECYCLE_STATE_INCORRECT),
            (Leaf::PhymemPageReclaim, [page, 0, 0, 0], METADATA.operand(O::Rcx)),
            (Leaf::PhymemPageReclaim, [page + 1, 0, 0, 0], INVALID.operand(O::Rcx)),
            (Leaf::PhymemPageReclaim, [2 << 30, 0, 0, 0], RANGE.operand(O::Rcx)),
            (Leaf::PhymemCacheWb, [0, 0, 0, 0], Status::NO_HKID_READY_TO_WBCACHE),
            (Leaf::PhymemCacheWb, [2, 0, 0, 0], INVALID.operand(O::Rcx)),
            (Leaf::PhymemPageWbinvd, [32 << 46 | page, 0, 0, 0], Status::SUCCESS),
            (Leaf::PhymemPageWbinvd, [32 << 46 | tdr, 0, 0, 0], METADATA.operand(O::Rcx)),
        ]
    });
}

#[test]
fn a_keyed_td_waits_for_its_control_structure() {
    check(S::Keyed, |td| {
        let (tdr, page) = (td.tdr, fresh(td));
        vec![
            (Leaf::MngKeyConfig, [tdr, 0, 0, 0], Status::LIFECYCLE_STATE_INCORRECT),
            (Leaf::MngInit, [tdr, TD_PARAMS, 0, 0], Status::TDCS_NOT_ALLOCATED),
            (Leaf::VpCreate, [page, tdr, 0, 0], Status::TDCS_NOT_ALLOCATED),
            (Leaf::MngAddcx, [tdr, tdr, 0, 0], Status::OPERAND_BUSY.operand(O::Rcx)),
            (Leaf::MngAddcx, [page | 1, tdr, 0, 0], INVALID.operand(O::Rcx)),
        ]
    });
}

#[test]
fn an_allocated_td_waits_for_its_parameters() {
    check(S::Allocated, |td| {
        let (tdr, page) = (td.tdr, fresh(td));
        let op_state = Status::OP_STATE_INCORRECT;
        vec![
            (Leaf::VpCreate, [page, tdr, 0, 0], op_state),
            (Leaf::MrFinalize, [tdr, 0, 0, 0], op_state),
            (Leaf::MrExtend, [0, tdr, 0, 0], op_state),
            (Leaf::MemSeptAdd, [3, tdr, page, 0], op_state),
            (Leaf::MemPageAdd, [0, tdr, page, SOURCE], op_state),
            (Leaf::MemTrack, [tdr, 0, 0, 0], op_state),
            (Leaf::MngRd, [tdr, 0x1100_0003_0000_0000, 0, 0], op_state),
            (Leaf::MngInit, [tdr, TD_PARAMS + 512, 0, 0], INVALID.operand(O::Rdx)),
        ]
    });
}

/// What is wrong with the parameters, and the operand that tells it.
type ParamsCase = (&'static str, fn(&mut TdParams), O);

#[test]
fn parameters_that_the_module_does_not_take_are_refused() {
    let cases: &[ParamsCase] = &[
        ("attributes", |p| p.attributes |= 2, O::Attributes),
        ("XFAM without x87", |p| p.xfam = 2, O::Xfam),
        ("XFAM", |p| p.xfam |= 1 << 60, O::Xfam),
        ("no vCPUs", |p| p.max_vcpus = 0, O::MaxVcpus),
        ("too many vCPUs", |p| p.max_vcpus = 577, O::MaxVcpus),
        ("nested VMs", |p| p.num_l2_vms = 4, O::NumL2Vms),
        ("reserved 0", |p| p.reserved_0[3] = 1, O::Rdx),
        ("reserved 1", |p| p.reserved_1[0] = 1, O::Rdx),
        ("reserved 2", |p| p.reserved_2[0] = 1, O::Rdx),
        ("reserved 3", |p| p.reserved_3[255] = 1, O::Rdx),
        ("row beyond the table", |p| p.cpuid_values[11][0] = 1, O::Rdx),
        ("flags", |p| p.config_flags |= 8, O::ExecControls),
        ("uncached EPT", |p| p.eptp_controls = 3 << 3, O::EptpControls),
        ("wide with 4 levels", |p| p.config_flags |= 1, O::EptpControls),
        ("slow clock", |p| p.tsc_frequency = 3, O::TscFrequency),
        ("fast clock", |p| p.tsc_frequency = 401, O::TscFrequency),
        ("CPUID bit", |p| p.cpuid_values[0][3] = 1, O::CpuidConfig),
    ];
    let (m, td) = at(S::Allocated);
    for (name, change, operand) in cases {
        let mut m = m.clone();
        let mut wrong = params();
        change(&mut wrong);
        let init = m.td_init_call(&td, &wrong);
        assert_eq!(m.call(0, init), Answer::Status(INVALID.operand(*operand)), "{name}");
        let leaf = if *operand == O::CpuidConfig { 0xFFFF_FFFF_0000_0001 } else { 0 };
        assert_eq!(m.regs.rcx, leaf, "{name}");
        let init = m.td_init_call(&td, &params());
        m.ok(0, init);
    }
}

#[test]
fn an_initialized_td_waits_for_vcpus_and_pages() {
    check(S::Initialized, |td| {
        let (tdr, page) = (td.tdr, fresh(td));
        vec![
            (Leaf::MngInit, [tdr, TD_PARAMS, 0, 0], Status::OP_STATE_INCORRECT),
            (Leaf::MngAddcx, [page, tdr, 0, 0], Status::OP_STATE_INCORRECT),
            (Leaf::MrFinalize, [tdr, 0, 0, 0], Status::NO_VCPUS),
            (Leaf::MemSeptAdd, [2, tdr, page, 0], Status::EPT_WALK_FAILED.operand(O::Rcx)),
            (Leaf::MemSeptAdd, [0, tdr, page, 0], INVALID.operand(O::Rcx)),
            (Leaf::MemSeptAdd, [4, tdr, page, 0], INVALID.operand(O::Rcx)),
            (Leaf::MemSeptAdd, [4096 | 3, tdr, page, 0], INVALID.operand(O::Rcx)),
            (Leaf::MemSeptAdd, [1 << 47 | 3, tdr, page, 0], INVALID.operand(O::Rcx)),
            (Leaf::MemSeptAdd, [3, tdr, tdr, 0], Status::OPERAND_BUSY.operand(O::R8)),
            (Leaf::MemPageAdd, [0, tdr, page, SOURCE], Status::EPT_WALK_FAILED.operand(O::Rcx)),
            (Leaf::MemPageAdd, [1, tdr, page, SOURCE], INVALID.operand(O::Rcx)),
            (Leaf::MrExtend, [0, tdr, 0, 0], Status::EPT_ENTRY_NOT_PRESENT.operand(O::Rcx)),
            (Leaf::MrExtend, [128, tdr, 0, 0], INVALID.operand(O::Rcx)),
            (Leaf::VpCreate, [tdr + 4096, tdr, 0, 0], METADATA.operand(O::Rcx)),
            (Leaf::VpAddcx, [page, tdr, 0, 0], METADATA.operand(O::Rdx)),
            (Leaf::MngRd, [tdr, 0x3F00_0000_0000_0000, 0, 0], Status::METADATA_FIELD_ID_INCORRECT),
        ]
    });
}

#[test]
fn a_vcpu_needs_all_its_pages_and_is_initialized_once() {
    let (mut m, mut td) = at(S::Initialized);
    let tdvpr = td.page();
    m.ok(0, Regs { rcx: tdvpr, rdx: td.tdr, ..call(Leaf::VpCreate) });
    let init = Regs { rcx: tdvpr, ..call(Leaf::VpInit) };
    assert_eq!(m.call(0, init), Answer::Status(Status::TDCX_NUM_INCORRECT));
    for _ in 1..6 {
        m.ok(0, Regs { rcx: td.page(), rdx: tdvpr, ..call(Leaf::VpAddcx) });
    }
    let rd = Regs { rcx: tdvpr, rdx: 0x2000_0000_0000_000B, ..call(Leaf::VpRd) };
    assert_eq!(m.call(0, rd), Answer::Status(Status::VCPU_STATE_INCORRECT));
    m.ok(0, init);
    assert_eq!(m.call(0, init), Answer::Status(Status::VCPU_STATE_INCORRECT));
    let addcx = Regs { rcx: td.page(), rdx: tdvpr, ..call(Leaf::VpAddcx) };
    assert_eq!(m.call(0, addcx), Answer::Status(Status::VCPU_STATE_INCORRECT));
    m.ok(0, rd);
}

#[test]
fn a_td_cannot_have_more_pages_or_vcpus_than_it_may() {
    let (mut m, mut td) = at(S::Allocated);
    // Room for three nested VMs.
    for _ in 0..3 {
        m.ok(0, Regs { rcx: td.page(), rdx: td.tdr, ..call(Leaf::MngAddcx) });
    }
    let more = Regs { rcx: td.page(), rdx: td.tdr, ..call(Leaf::MngAddcx) };
    assert_eq!(m.call(0, more), Answer::Status(Status::TDCX_NUM_INCORRECT));
    let init = m.td_init_call(&td, &TdParams { max_vcpus: 1, ..params() });
    m.ok(0, init);
    m.td_vcpu(&mut td, 0);
    let tdvpr = td.page();
    m.ok(0, Regs { rcx: tdvpr, rdx: td.tdr, ..call(Leaf::VpCreate) });
    for _ in 0..14 {
        m.ok(0, Regs { rcx: td.page(), rdx: tdvpr, ..call(Leaf::VpAddcx) });
    }
    let more = Regs { rcx: td.page(), rdx: tdvpr, ..call(Leaf::VpAddcx) };
    assert_eq!(m.call(0, more), Answer::Status(Status::TDCX_NUM_INCORRECT));
    let init = Regs { rcx: tdvpr, ..call(Leaf::VpInit) };
    assert_eq!(m.call(0, init), Answer::Status(Status::MAX_VCPUS_EXCEEDED));
}

#[test]
fn a_mapped_td_is_not_entered_before_it_is_finalized() {
    check(S::Mapped, |td| {
        let (tdr, page, vcpu) = (td.tdr, fresh(td), td.vcpus[0]);
        let taken = Status::EPT_ENTRY_STATE_INCORRECT.operand(O::Rcx);
        vec![
            (Leaf::VpEnter, [vcpu, 0, 0, 0], Status::OP_STATE_INCORRECT),
            (Leaf::MemPageAdd, [SCRIPT_GPA, tdr, page, SOURCE], taken),
            (Leaf::MemPageAdd, [0, tdr, page, SOURCE + 8], INVALID.operand(O::R9)),
            (Leaf::MemPageAdd, [0, tdr, page, 32 << 46 | SOURCE], INVALID.operand(O::R9)),
            (Leaf::MemPageAdd, [0, tdr, vcpu, SOURCE], METADATA.operand(O::R8)),
            (Leaf::MemPageAug, [SCRIPT_GPA, tdr, page, 0], taken),
            (Leaf::MemSeptAdd, [1, tdr, page, 0], taken),
            (Leaf::MemSeptAdd, [1, tdr | 1, page, 0], Status::SUCCESS),
            (Leaf::MemRangeBlock, [0, tdr, 0, 0], taken),
            (Leaf::MemRangeUnblock, [SCRIPT_GPA, tdr, 0, 0], taken),
            (Leaf::MemPageRemove, [0x3000, tdr, 0, 0], taken),
            (Leaf::MemPageRemove, [SCRIPT_GPA, tdr, 0, 0], Status::SUCCESS),
            (Leaf::MrExtend, [0, tdr, 0, 0], Status::EPT_ENTRY_NOT_PRESENT.operand(O::Rcx)),
        ]
    });
}

#[test]
fn a_runnable_td_can_no_longer_be_built() {
    check(S::Runnable, |td| {
        let (tdr, page, vcpu) = (td.tdr, fresh(td), td.vcpus[0]);
        let op_state = Status::OP_STATE_INCORRECT;
        vec![
            (Leaf::MemPageAdd, [0, tdr, page, SOURCE], op_state),
            (Leaf::MrExtend, [SCRIPT_GPA, tdr, 0, 0], op_state),
            (Leaf::MrFinalize, [tdr, 0, 0, 0], op_state),
            (Leaf::VpCreate, [page, tdr, 0, 0], op_state),
            (Leaf::VpAddcx, [page, vcpu, 0, 0], op_state),
            (Leaf::VpInit, [vcpu, 0, 0, 0], op_state),
            (Leaf::VpEnter, [vcpu | 4, 0, 0, 0], INVALID.operand(O::Rcx)),
            (Leaf::VpEnter, [vcpu | 1, 0, 0, 0], INVALID.operand(O::Rcx)),
            (Leaf::VpEnter, [vcpu | 1 << 63, 0, 0, 0], INVALID.operand(O::Rcx)),
            (Leaf::VpEnter, [tdr, 0, 0, 0], METADATA.operand(O::Rcx)),
            (Leaf::VpWr, [vcpu, 0x6000, 1, 1], Status::METADATA_FIELD_NOT_WRITABLE),
            (Leaf::VpWr, [vcpu, 0x3F00 << 48, 1, 1], Status::METADATA_FIELD_ID_INCORRECT),
            (Leaf::VpRd, [vcpu, 0x3F00 << 48, 0, 0], Status::METADATA_FIELD_ID_INCORRECT),
            (Leaf::MngVpflushdone, [tdr, 0, 0, 0], Status::FLUSHVP_NOT_DONE),
            (Leaf::MngKeyFreeid, [tdr, 0, 0, 0], Status::LIFECYCLE_STATE_INCORRECT),
            (Leaf::PhymemPageReclaim, [vcpu, 0, 0, 0], Status::LIFECYCLE_STATE_INCORRECT),
        ]
    });
}

#[test]
fn fields_that_kvm_uses_can_be_written_and_read() {
    let (mut m, td) = at(S::Runnable);
    let vcpu = td.vcpus[0];
    let wr = |field, value, mask| Regs { rcx: vcpu, rdx: field, r8: value, r9: mask, ..call(Leaf::VpWr) };
    let rd = |field| Regs { rcx: vcpu, rdx: field, ..call(Leaf::VpRd) };
    // As KVM writes them: whole addresses and numbers, single bits of controls.
    for (field, before, value, mask) in [
        (0x0002, 0xFFFF, 0xF2, 0xFFFF),
        (0x2016, u64::MAX, 0x12_3440, u64::MAX),
        (0x4000, 0, 0x80, 0x80),
        (0x401E, 0, 0x4000_0000, 0x4000_0000),
        (0x4024, 0, 0x1234_5678, 0xFFFF_FFFF),
        (0x203C, td.keyid << 46 | (td.tdr + 5 * 4096), 0x12_3000, u64::MAX),
    ] {
        m.ok(0, rd(field));
        assert_eq!(m.regs.r8, before, "{field:#x}: at first");
        m.ok(0, wr(field, value, mask));
        assert_eq!(m.regs.r8, before, "{field:#x}: the value before");
        m.ok(0, rd(field));
        assert_eq!(m.regs.r8, value, "{field:#x}");
    }
    let pend_nmi = 0x2000_0000_0000_000B;
    m.ok(0, wr(pend_nmi, 1, 1));
    m.ok(0, rd(pend_nmi));
    assert_eq!(m.regs.r8, 1);
    m.ok(0, rd(0x9100_0003_0000_0100));
    assert_eq!(m.regs.r8, 0, "no interrupt waits");
}

#[test]
fn a_blocked_range_is_out_of_the_tds_reach_until_unblocked() {
    let (mut m, td) = at(S::Runnable);
    let block = Regs { rcx: SCRIPT_GPA, rdx: td.tdr, ..call(Leaf::MemRangeBlock) };
    let unblock = Regs { rcx: SCRIPT_GPA, rdx: td.tdr, ..call(Leaf::MemRangeUnblock) };
    m.ok(0, block);
    assert_eq!(m.call(0, block), Answer::Status(Status::GPA_RANGE_ALREADY_BLOCKED.operand(O::Rcx)));
    assert_eq!(m.regs.rdx, 1 << 8, "level 0, blocked");
    assert_eq!(m.enter(&td, 0, 0), 48);
    assert_eq!(m.call(0, unblock), Answer::Status(Status::TLB_TRACKING_NOT_DONE.operand(O::SeptTree)));
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MemTrack) });
    m.ok(0, unblock);
    assert_eq!(m.enter(&td, 0, 0), 77);
}

#[test]
fn a_blocked_table_hides_what_it_maps() {
    let (mut m, td) = at(S::Runnable);
    m.ok(0, Regs { rcx: 1, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
    assert_eq!(m.enter(&td, 0, 0), 48);
    let inner = Regs { rcx: SCRIPT_GPA, rdx: td.tdr, ..call(Leaf::MemRangeBlock) };
    assert_eq!(m.call(0, inner), Answer::Status(Status::EPT_WALK_FAILED.operand(O::Rcx)));
    assert_eq!(m.regs.rdx & 0xFF, 1, "the walk ended at level 1");
}

#[test]
fn a_blocked_td_only_waits_for_its_caches() {
    check(S::Blocked, |td| {
        let (tdr, vcpu) = (td.tdr, td.vcpus[0]);
        vec![
            (Leaf::VpEnter, [vcpu, 0, 0, 0], Status::TD_KEYS_NOT_CONFIGURED),
            (Leaf::VpFlush, [vcpu, 0, 0, 0], Status::TD_KEYS_NOT_CONFIGURED),
            (Leaf::MngKeyConfig, [tdr, 0, 0, 0], Status::LIFECYCLE_STATE_INCORRECT),
            (Leaf::MngVpflushdone, [tdr, 0, 0, 0], Status::LIFECYCLE_STATE_INCORRECT),
            (Leaf::MngKeyFreeid, [tdr, 0, 0, 0], Status::WBCACHE_NOT_COMPLETE),
            (Leaf::PhymemCacheWb, [1, 0, 0, 0], Status::WBCACHE_RESUME_ERROR),
        ]
    });
}

#[test]
fn a_td_in_teardown_gives_its_pages_back_and_its_root_last() {
    check(S::Teardown, |td| {
        vec![
            (Leaf::PhymemPageReclaim, [td.tdr, 0, 0, 0], Status::TD_ASSOCIATED_PAGES_EXIST),
            (Leaf::MngAddcx, [fresh(td), td.tdr, 0, 0], Status::TD_KEYS_NOT_CONFIGURED),
            (Leaf::MngCreate, [fresh(td), td.keyid, 0, 0], Status::SUCCESS),
        ]
    });
    let (mut m, td) = at(S::Teardown);
    m.ok(0, Regs { rcx: td.vcpus[0], ..call(Leaf::PhymemPageReclaim) });
    assert_eq!((m.regs.rcx, m.regs.rdx, m.regs.r8), (6, td.tdr, 0), "TDVPR, its owner, 4 KB");
}

/// Stages in the order of the columns of [`TABLE`].
const STAGES: [Stage; 9] =
    [S::Created, S::Keyed, S::Allocated, S::Initialized, S::WithVcpu, S::Mapped, S::Runnable, S::Blocked, S::Teardown];

/// Cells of [`TABLE`], without detail.
const LEGEND: [(char, Status); 16] = [
    ('.', Status::SUCCESS),
    ('k', Status::TD_KEYS_NOT_CONFIGURED),
    ('c', Status::TDCS_NOT_ALLOCATED),
    ('o', Status::OP_STATE_INCORRECT),
    ('l', Status::LIFECYCLE_STATE_INCORRECT),
    // The page is no vCPU's: there is none yet.
    ('m', Status::PAGE_METADATA_INCORRECT),
    ('v', Status::VCPU_STATE_INCORRECT),
    ('n', Status::NO_VCPUS),
    ('a', Status::FLUSHVP_NOT_DONE),
    ('w', Status::EPT_WALK_FAILED),
    ('p', Status::EPT_ENTRY_NOT_PRESENT),
    ('s', Status::EPT_ENTRY_STATE_INCORRECT),
    ('b', Status::GPA_RANGE_NOT_BLOCKED),
    ('d', Status::WBCACHE_NOT_COMPLETE),
    ('x', Status::TD_ASSOCIATED_PAGES_EXIST),
    ('f', Status::NO_HKID_READY_TO_WBCACHE),
];

/// Every leaf about a TD at every stage of the TD, with operands that are right.
const TABLE: [(Leaf, &str); 26] = [
    (Leaf::VpEnter, "mmmmoo.kk"),
    (Leaf::MngAddcx, "k..ooookk"),
    (Leaf::MemPageAdd, "kcoww.okk"),
    (Leaf::MemSeptAdd, "kcoww..kk"),
    (Leaf::VpAddcx, "mmmmvvokk"),
    (Leaf::MemPageAug, "kcoww..kk"),
    (Leaf::MemRangeBlock, "kcoww..kk"),
    (Leaf::MngKeyConfig, ".llllllll"),
    (Leaf::VpCreate, "kco...okk"),
    (Leaf::MngRd, "kco....kk"),
    (Leaf::MemPageDemote, "kcowwsskk"),
    (Leaf::MrExtend, "kcopp.okk"),
    (Leaf::MrFinalize, "kcon..okk"),
    (Leaf::VpFlush, "mmmm...kk"),
    (Leaf::MngVpflushdone, "....aaall"),
    (Leaf::MngKeyFreeid, "llllllldl"),
    (Leaf::MngInit, "kc.ooookk"),
    (Leaf::VpInit, "mmmmvvokk"),
    (Leaf::MemPagePromote, "kcowwsskk"),
    (Leaf::VpRd, "mmmm...kk"),
    (Leaf::PhymemPageReclaim, "llllllllx"),
    (Leaf::MemPageRemove, "kcoww.bkk"),
    (Leaf::MemTrack, "kco....kk"),
    (Leaf::MemRangeUnblock, "kcowwsskk"),
    (Leaf::PhymemCacheWb, "fffffff.f"),
    (Leaf::VpWr, "mmmm...kk"),
];

#[test]
fn every_td_leaf_answers_at_every_stage_as_the_table_says() {
    let mut rows = [(); TABLE.len()].map(|()| String::new());
    for stage in STAGES {
        let (machine, td) = at(stage);
        for (row, (leaf, _)) in rows.iter_mut().zip(TABLE) {
            let mut m = machine.clone();
            let [rcx, rdx, r8, r9] = natural(leaf, &mut m, &td).expect("it is in the table");
            let before = m.firmware.save();
            let Answer::Status(status) = m.call(0, Regs { rcx, rdx, r8, r9, ..call(leaf) }) else { panic!("{leaf:?}") };
            let cell = LEGEND.iter().find(|(_, known)| *known == status.class());
            row.push(cell.unwrap_or_else(|| panic!("{leaf:?} at {stage:?}: {status:?}")).0);
            let unchanged = m.firmware.save() == before;
            assert!(!status.is_error() || unchanged, "{leaf:?} at {stage:?} failed and left a trace");
            assert_eq!(m.firmware.audit(), Vec::<String>::new(), "{leaf:?} at {stage:?}");
        }
    }
    for (row, (leaf, expected)) in rows.iter().zip(TABLE) {
        assert_eq!(row, expected, "{}", leaf.name());
    }
}

#[test]
fn the_table_has_every_leaf_about_a_td() {
    let (mut m, td) = at(S::Created);
    let about: Vec<Leaf> = Leaf::ALL.iter().copied().filter(|leaf| natural(*leaf, &mut m, &td).is_some()).collect();
    assert_eq!(about, TABLE.map(|(leaf, _)| leaf));
    for &leaf in Leaf::ALL.iter().filter(|leaf| !about.contains(leaf)) {
        let named = leaf.name();
        let td_leaf = ["TDH.MNG.", "TDH.MEM.", "TDH.VP.", "TDH.MR."].iter().any(|group| named.starts_with(group));
        let mut m = m.clone();
        m.call(0, call(leaf));
        assert!(!td_leaf || m.completion.unmodelled || leaf == Leaf::MngCreate, "{named} is modelled and not here");
    }
}

/// Operands with which the leaf would succeed at the right stage, or for pages of 2 MB, of which there are none, would find
/// that; none for leaves that are not about a TD.
fn natural(leaf: Leaf, m: &mut Machine, td: &Td) -> Option<[u64; 4]> {
    let (tdr, page) = (td.tdr, fresh(td));
    let vcpu = td.vcpus.first().copied().unwrap_or(page);
    let params = m.td_init_call(td, &params());
    Some(match leaf {
        Leaf::MngKeyConfig | Leaf::MngVpflushdone | Leaf::MngKeyFreeid | Leaf::MrFinalize | Leaf::MemTrack => {
            [tdr, 0, 0, 0]
        }
        Leaf::MngInit => [params.rcx, params.rdx, 0, 0],
        Leaf::MngAddcx | Leaf::VpCreate => [page, tdr, 0, 0],
        Leaf::MngRd => [tdr, 0x1100_0003_0000_0000, 0, 0],
        Leaf::VpAddcx => [page, vcpu, 0, 0],
        Leaf::VpInit | Leaf::VpEnter | Leaf::VpFlush => [vcpu, 0, 0, 0],
        Leaf::VpRd | Leaf::VpWr => [vcpu, 0x2000_0000_0000_000B, 1, 1],
        Leaf::MemSeptAdd | Leaf::MemPageDemote | Leaf::MemPagePromote => [0x20_0001, tdr, page, 0],
        Leaf::MemPageAdd => [0x3000, tdr, page, SOURCE],
        Leaf::MemPageAug => [0x3000, tdr, page, 0],
        Leaf::MrExtend | Leaf::MemRangeBlock | Leaf::MemRangeUnblock | Leaf::MemPageRemove => [SCRIPT_GPA, tdr, 0, 0],
        Leaf::PhymemPageReclaim => [tdr, 0, 0, 0],
        Leaf::PhymemCacheWb => [0; 4],
        _ => return None,
    })
}
