//! TDH.VP.INIT. Source: `tdh_vp_init.c` of the 2.0 tree.

use super::{lasting, status};
use crate::common::td::{SCRIPT_GPA, Td, params};
use crate::common::{Answer, Machine, call};
use seam_emu::abi::{Leaf, Status};
use seam_emu::{Regs, Reply};

/// A TD that is initialised, with the pages of one vCPU.
fn with_vcpu(m: &mut Machine) -> (Td, u64) {
    let mut td = m.td_initialized(&params(), 0);
    let tdvpr = vcpu(m, &mut td);
    (td, tdvpr)
}

/// Another vCPU that waits for TDH.VP.INIT.
fn vcpu(m: &mut Machine, td: &mut Td) -> u64 {
    let tdvpr = td.page();
    m.ok(0, Regs { rcx: tdvpr, rdx: td.tdr, ..call(Leaf::VpCreate) });
    for _ in 1..m.field(0x9800_0001_0000_0200) / 4096 {
        m.ok(0, Regs { rcx: td.page(), rdx: tdvpr, ..call(Leaf::VpAddcx) });
    }
    tdvpr
}

fn init(version: u64, tdvpr: u64, apic_id: u64) -> Regs {
    Regs { rax: Leaf::VpInit.number() | version << 16, rcx: tdvpr, rdx: SCRIPT_GPA, r8: apic_id, ..Regs::default() }
}

#[test]
fn a01_vp_init_v1_locks_the_tdr_exclusively() {
    for (version, block) in [(0, Status::EPT_WALK_FAILED.0 | 1), (1, Status::OPERAND_BUSY.0 | 2)] {
        let mut m = lasting(2, "TDH.VP.INIT");
        let (td, tdvpr) = with_vcpu(&mut m);
        assert!(matches!(m.execute(0, init(version, tdvpr, 0)).0, Reply::Wait { .. }));
        let answer = m.call(1, Regs { rcx: 0, rdx: td.tdr, ..call(Leaf::MemRangeBlock) });
        assert_eq!(answer, Answer::Status(Status(block)), "version {version}");
        let spare = td.pages().last().expect("it has pages") + 4096;
        let create = m.call(1, Regs { rcx: spare, rdx: td.tdr, ..call(Leaf::VpCreate) });
        let busy = if version == 1 { Status::OPERAND_BUSY.0 | 2 } else { 0 };
        assert_eq!(create, Answer::Status(Status(busy)), "version {version}");
        m.ok(0, init(version, tdvpr, 0));
        assert_eq!(m.firmware.held_locks(), []);
    }
}

#[test]
fn a01_vp_init_v1_finds_the_tdr_busy() {
    for (version, busy) in [(0, false), (1, true)] {
        let mut m = lasting(2, "TDH.MEM.SEPT.ADD");
        let (mut td, tdvpr) = with_vcpu(&mut m);
        let add = Regs { rcx: 3, rdx: td.tdr, r8: td.page(), ..call(Leaf::MemSeptAdd) };
        assert!(matches!(m.execute(0, add).0, Reply::Wait { .. }));
        let answer = m.call(1, init(version, tdvpr, 0));
        let expected = if busy { status(Status::OPERAND_BUSY, 0x80) } else { Answer::Status(Status::SUCCESS) };
        assert_eq!(answer, expected, "version {version}");
        assert_eq!(m.completion.contended, busy);
    }
}

#[test]
fn a01_vp_init_tells_which_apic_id_is_taken() {
    let mut m = Machine::new(1);
    m.boot_linux();
    let (mut td, first) = with_vcpu(&mut m);
    m.ok(0, init(1, first, 0x123));
    let second = vcpu(&mut m, &mut td);
    assert_eq!(m.call(0, init(1, second, 0x123)), Answer::Status(Status(0xC000_0621_0000_0123)));
    assert_eq!(m.call(0, init(1, second, 1 << 32)), status(Status::OPERAND_INVALID, 8));
    m.ok(0, init(1, second, 0x124));
}

#[test]
fn a01_vp_init_counts_vcpus_before_it_looks_at_the_apic_id() {
    let mut m = Machine::new(1);
    m.boot_linux();
    let mut params = params();
    params.max_vcpus = 1;
    let mut td = m.td_create(0);
    m.td_keys(&mut td);
    let call = m.td_init_call(&td, &params);
    m.ok(0, call);
    let first = vcpu(&mut m, &mut td);
    m.ok(0, init(1, first, 0));
    let second = vcpu(&mut m, &mut td);
    for id in [0, 1 << 32] {
        assert_eq!(m.call(0, init(1, second, id)), status(Status::MAX_VCPUS_EXCEEDED, 0));
    }
}
