//! Which locks each leaf holds while it lasts, and what another LP is told meanwhile.

use crate::common::td::{SCRIPT_GPA, SOURCE, TD_PARAMS, Td, params};
use crate::common::{Answer, BUFFER, Machine, call};
use seam_emu::abi::status::Operand as O;
use seam_emu::abi::{Leaf as L, Status};
use seam_emu::locks::LockId as I;
use seam_emu::locks::Mode::{self, Exclusive as X, Shared as S};
use seam_emu::script::{Op, Script};
use seam_emu::{Config, Durations, Firmware, Regs, Reply};

/// How far the TD is.
#[derive(Clone, Copy)]
enum Stage {
    Allocated,
    Building,
    Runnable,
}
use Stage::{Allocated, Building, Runnable};

/// A machine for each stage of one TD, whose vCPU belongs to LP 0.
fn stages() -> ([Machine; 3], Td) {
    let mut m = Machine::new(2);
    m.boot_linux();
    let mut td = m.td_create(0);
    m.td_keys(&mut td);
    let init = m.td_init_call(&td, &params());
    let allocated = m.clone();
    m.ok(0, init);
    m.td_vcpu(&mut td, 0);
    m.td_tables(&mut td);
    m.td_load(&mut td, SCRIPT_GPA, &Script::new().then(Op::Jump, 0, 0).to_pages());
    let building = m.clone();
    m.ok(0, Regs { rcx: td.tdr, ..call(L::MrFinalize) });
    ([allocated, building, m], td)
}

/// Leaf, stage, RCX to R9, and the locks in the order in which they are taken.
type Case = (L, Stage, [u64; 4], Vec<(I, Mode)>);

fn cases(td: &Td) -> Vec<Case> {
    let (t, v, page) = (td.tdr, td.vcpus[0], td.tdr + 0xF_0000);
    let script = td.pages().last().expect("the script's page");
    let entry = |gpa, level| (I::SeptEntry { tdr: t, gpa, level }, X);
    let shared = || vec![(I::Pamt(t), S), (I::OpState(t), S)];
    let tree = |mode, more: &[(I, Mode)]| [&shared()[..], &[(I::SeptTree(t), mode)], more].concat();
    let vcpu = || vec![(I::Pamt(v), S), (I::Pamt(t), S), (I::OpState(t), S)];
    let taken = (I::Pamt(page), X);
    vec![
        (L::MngCreate, Allocated, [page, td.keyid + 1, 0, 0], vec![taken, (I::Kot, X)]),
        (L::MngAddcx, Allocated, [page, t, 0, 0], vec![(I::Pamt(t), X), taken]),
        (L::MngInit, Allocated, [t, TD_PARAMS, 0, 0], vec![(I::Pamt(t), X)]),
        (L::MngVpflushdone, Allocated, [t, 0, 0, 0], vec![(I::Pamt(t), X), (I::Kot, X)]),
        (L::MngRd, Building, [t, 0x1100_0003_0000_0000, 0, 0], shared()),
        (L::VpCreate, Building, [page, t, 0, 0], [&shared()[..], &[taken]].concat()),
        (L::VpFlush, Building, [v, 0, 0, 0], vec![(I::Pamt(v), X), (I::Pamt(t), S)]),
        (L::MemPageAdd, Building, [0, t, page, SOURCE], vec![(I::Pamt(t), X), taken]),
        (L::MrExtend, Building, [SCRIPT_GPA, t, 0, 0], vec![(I::Pamt(t), X)]),
        (L::MrFinalize, Building, [t, 0, 0, 0], vec![(I::Pamt(t), X)]),
        (L::MemSeptAdd, Building, [0x20_0001, t, page, 0], tree(S, &[entry(0x20_0000, 1), taken])),
        (L::MemPageAug, Runnable, [0x3000, t, page, 0], tree(S, &[entry(0x3000, 0), taken])),
        (L::MemRangeBlock, Runnable, [SCRIPT_GPA, t, 0, 0], tree(X, &[entry(SCRIPT_GPA, 0)])),
        (L::MemRangeBlock, Runnable, [1, t, 0, 0], tree(X, &[entry(0, 1)])),
        (L::MemPageRemove, Building, [SCRIPT_GPA, t, 0, 0], tree(S, &[entry(SCRIPT_GPA, 0), (I::Pamt(script), X)])),
        (L::MemTrack, Runnable, [t, 0, 0, 0], [&shared()[..], &[(I::TdEpoch(t), X)]].concat()),
        // The operation state is free again while the vCPU runs.
        (L::VpEnter, Runnable, [v, 0, 0, 0], vec![(I::Pamt(v), S), (I::Pamt(t), S)]),
        (L::VpRd, Runnable, [v, 0x2000_0000_0000_000B, 0, 0], vcpu()),
        (L::VpWr, Runnable, [v, 0x2000_0000_0000_000B, 1, 1], vcpu()),
        (L::PhymemPageRdmd, Runnable, [page, 0, 0, 0], vec![(I::Pamt(page), S)]),
        (L::PhymemPageWbinvd, Runnable, [page, 0, 0, 0], vec![(I::Pamt(page), S)]),
        (L::PhymemPageReclaim, Runnable, [page, 0, 0, 0], vec![taken]),
        (L::PhymemCacheWb, Runnable, [0, 0, 0, 0], vec![(I::Wbcache(0), X), (I::Kot, S)]),
        (L::SysShutdown, Runnable, [0, 0, 0, 0], vec![(I::Global, X)]),
        (L::SysTdmrInit, Runnable, [0, 0, 0, 0], vec![(I::Tdmr(0), X)]),
        (L::SysRd, Runnable, [0, 0, 0, 0], vec![]),
        (L::SysRdall, Runnable, [0, BUFFER, u64::MAX, 0], vec![]),
        (L::LdrInfo, Runnable, [BUFFER, 0, 0, 0], vec![(I::SeamLdr, X)]),
    ]
}

/// The same machine, and calls that last.
fn lasting(m: &Machine) -> Machine {
    let mut m = m.clone();
    let durations = Durations { default_ns: 10, ..Durations::default() };
    let config = Config { durations, ..m.firmware.config().clone() };
    m.firmware = Firmware::restore(config, &m.firmware.save()).expect("the same platform");
    m
}

#[test]
fn every_leaf_holds_its_locks_while_it_lasts() {
    let (machines, td) = stages();
    for (leaf, stage, [rcx, rdx, r8, r9], expected) in cases(&td) {
        let mut m = lasting(&machines[stage as usize]);
        let (reply, _) = m.execute(0, Regs { rcx, rdx, r8, r9, ..call(leaf) });
        assert_eq!(reply, Reply::Wait { until_ns: 10 + m.now_ns }, "{leaf:?}");
        let held: Vec<_> = m.firmware.held_locks().iter().map(|held| (held.id, held.mode)).collect();
        assert_eq!(held, expected, "{leaf:?}");
        assert!(m.firmware.held_locks().iter().all(|held| held.lp == 0));
        m.now_ns += 10;
        m.execute(0, Regs { rcx, rdx, r8, r9, ..call(leaf) });
        assert_eq!(m.firmware.held_locks(), [], "{leaf:?}");
    }
}

#[test]
fn another_lp_is_told_which_lock_is_taken() {
    let (machines, td) = stages();
    let (t, v, page) = (td.tdr, td.vcpus[0], td.tdr + 0xF_0000);
    let track = (L::MemTrack, [t, 0, 0, 0]);
    let block = (L::MemRangeBlock, [SCRIPT_GPA, t, 0, 0]);
    let busy = |operand| Status::OPERAND_BUSY.operand(operand);
    for (stage, first, second, expected) in [
        (Runnable, track, track, busy(O::TdEpoch)),
        (Runnable, track, (L::MngVpflushdone, [t, 0, 0, 0]), busy(O::Rcx)),
        (Runnable, block, block, busy(O::SeptTree)),
        (Runnable, block, (L::MemPageAug, [0x3000, t, page, 0]), busy(O::SeptTree)),
        (Runnable, (L::MemPageAug, [0x3000, t, page, 0]), (L::MemPageAug, [0x3000, t, page + 4096, 0]), busy(O::Rcx)),
        (Runnable, (L::MemPageAug, [0x3000, t, page, 0]), (L::MemPageAug, [0x4000, t, page, 0]), busy(O::R8)),
        (Runnable, (L::MemPageAug, [0x3000, t, page, 0]), (L::PhymemPageRdmd, [page, 0, 0, 0]), busy(O::Rcx)),
        (Runnable, (L::PhymemPageRdmd, [page, 0, 0, 0]), (L::PhymemPageWbinvd, [page, 0, 0, 0]), Status::SUCCESS),
        (Runnable, (L::PhymemCacheWb, [0; 4]), (L::PhymemCacheWb, [0; 4]), busy(O::Wbcache)),
        (Runnable, (L::PhymemCacheWb, [0; 4]), (L::MngCreate, [page, td.keyid + 1, 0, 0]), busy(O::Kot)),
        (Runnable, (L::PhymemCacheWb, [0; 4]), (L::MngVpflushdone, [t, 0, 0, 0]), busy(O::Kot)),
        (Building, (L::MrFinalize, [t, 0, 0, 0]), (L::VpCreate, [page, t, 0, 0]), busy(O::Rdx)),
        (Building, (L::MrFinalize, [t, 0, 0, 0]), (L::VpFlush, [v, 0, 0, 0]), busy(O::Tdr)),
        (Building, (L::VpFlush, [v, 0, 0, 0]), (L::VpAddcx, [page, v, 0, 0]), busy(O::Rdx)),
        (Building, (L::MemSeptAdd, [0x20_0001, t, page, 0]), (L::VpCreate, [page, t, 0, 0]), busy(O::Rcx)),
    ] {
        let mut m = lasting(&machines[stage as usize]);
        let (leaf, [rcx, rdx, r8, r9]) = first;
        m.execute(0, Regs { rcx, rdx, r8, r9, ..call(leaf) });
        let (leaf, [rcx, rdx, r8, r9]) = second;
        let answer = m.call(1, Regs { rcx, rdx, r8, r9, ..call(leaf) });
        assert_eq!(answer, Answer::Status(expected), "{first:x?} {second:x?}");
        assert_eq!(m.completion.contended, expected.is_error(), "{first:x?} {second:x?}");
    }
}

#[test]
fn an_entry_that_is_locked_is_told_of() {
    let (machines, td) = stages();
    let mut m = lasting(&machines[2]);
    let remove = Regs { rcx: SCRIPT_GPA, rdx: td.tdr, ..call(L::MemPageRemove) };
    m.execute(0, remove);
    let script = td.pages().last().expect("the script's page");
    assert_eq!(m.call(1, remove), Answer::Status(Status::OPERAND_BUSY.operand(O::Rcx)));
    assert_eq!((m.regs.rcx, m.regs.rdx), (script | 1 << 63 | 0xF7, 4 << 8), "mapped, write-back, at level 0");
}

#[test]
fn a_vcpu_cannot_enter_while_its_epoch_ends() {
    let (machines, td) = stages();
    let mut m = lasting(&machines[2]);
    m.execute(1, Regs { rcx: td.tdr, ..call(L::MemTrack) });
    let enter = Regs { rcx: td.vcpus[0], ..call(L::VpEnter) };
    assert_eq!(m.call(0, enter), Answer::Status(Status::OPERAND_BUSY.operand(O::TdEpoch)));
    m.now_ns += 10;
    assert!(matches!(m.execute(0, enter).0, Reply::Wait { .. }));
}
