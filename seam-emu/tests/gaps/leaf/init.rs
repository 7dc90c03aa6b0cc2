//! TDH.MNG.INIT's checks. Source: TDX module `tdh_mng_init.c`, `helpers.c` (`verify_td_attributes`, `check_xfam`),
//! `virt_msr_helpers.c` (`init_virt_ia32_arch_capabilities`).

use super::status;
use crate::common::td::params;
use crate::common::{Answer, Machine, call};
use seam_emu::Regs;
use seam_emu::abi::td_params::TdParams;
use seam_emu::abi::{Leaf, Status};

/// TDH.MNG.INIT with changed parameters on a TD with all pages but those for nested VMs, and RCX after it.
fn init(change: impl Fn(&mut TdParams), more_pages: usize) -> (Answer, u64) {
    let mut m = Machine::new(1);
    m.boot_linux();
    let mut td = m.td_create(0);
    m.td_keys(&mut td);
    for _ in 0..more_pages {
        m.ok(0, Regs { rcx: td.page(), rdx: td.tdr, ..call(Leaf::MngAddcx) });
    }
    let mut params = params();
    change(&mut params);
    let call = m.td_init_call(&td, &params);
    (m.call(0, call), m.regs.rcx)
}

fn refused(operand: u64) -> (Answer, u64) {
    (status(Status::OPERAND_INVALID, operand), 0)
}

const TAKEN: (Answer, u64) = (Answer::Status(Status::SUCCESS), 0);

#[test]
fn a10_the_family_model_and_stepping_are_the_platforms() {
    let foreign = (status(Status::OPERAND_INVALID, 69), 0xFFFF_FFFF_0000_0001);
    assert_eq!(init(|p| p.cpuid_values[0][0] = 0x000C_06F2, 0), TAKEN, "the platform's");
    assert_eq!(init(|p| p.cpuid_values[0][0] = 0, 0), TAKEN);
    for eax in [0x000C_06F1, 0x000C_06F3, 0x0008_06F2] {
        assert_eq!(init(|p| p.cpuid_values[0][0] = eax, 0), foreign, "{eax:#x}");
    }
    let migratable = |eax| {
        move |p: &mut TdParams| {
            p.attributes |= 1 << 29;
            p.cpuid_values[0][0] = eax;
        }
    };
    assert_eq!(init(migratable(0x000C_06F1), 0), TAKEN, "a TD that can migrate may have a lower stepping");
    assert_eq!(init(migratable(0x000C_06F3), 0), foreign);
}

#[test]
fn a10_hle_and_rtm_go_together() {
    for (ebx, expected) in [(1 << 4, refused(69)), (1 << 11, refused(69)), (1 << 4 | 1 << 11, TAKEN)] {
        assert_eq!(init(|p| p.cpuid_values[5][1] = ebx, 0), expected, "{ebx:#x}");
    }
}

#[test]
fn a10_a_td_that_can_migrate_has_no_debugger_and_no_performance_monitor() {
    for (attributes, expected) in
        [(1 << 29, TAKEN), (1 << 29 | 1, refused(64)), (1 << 29 | 1 << 63, refused(64)), (1 << 63, TAKEN)]
    {
        assert_eq!(init(|p| p.attributes = attributes, 0), expected, "{attributes:#x}");
    }
}

#[test]
fn a10_extended_features_that_need_others_have_them() {
    for (xfam, expected) in [
        (0x3, TAKEN),
        (0x7, TAKEN),
        (0xE7, TAKEN),
        (0x6_02E7, TAKEN),
        (0x6_DBE7, TAKEN),
        (0x1803, TAKEN),
        (0x803, refused(65)),
        (0x403, refused(65)),
        (0x63, refused(65)),
        (0xE3, refused(65)),
        (0x27, refused(65)),
        (0xA7, refused(65)),
        (0x2_0003, refused(65)),
        (0x4_0003, refused(65)),
    ] {
        assert_eq!(init(|p| p.xfam = xfam, 0), expected, "{xfam:#x}");
    }
}

#[test]
fn a10_nested_vms_need_pages() {
    assert_eq!(init(|p| p.num_l2_vms = 4, 3), refused(71));
    let unallocated = (status(Status::TDCS_NOT_ALLOCATED, 0), 0);
    assert_eq!(init(|p| p.num_l2_vms = 3, 2), unallocated);
    assert_eq!(init(|p| p.num_l2_vms = 1, 0), unallocated);
    assert_eq!(init(|_| (), 3), TAKEN, "pages for them may be there without any");
}

#[test]
fn a10_capabilities_are_checked_after_cpuid() {
    let change = |flag: u8, value: u64, cpuid: u32| {
        move |p: &mut TdParams| {
            p.msr_config_ctls = flag;
            p.arch_capabilities_config = value;
            p.cpuid_values[0][3] = cpuid;
        }
    };
    assert_eq!(init(change(0, 1 << 4, 0), 0), refused(72), "not said to be configured");
    assert_eq!(init(change(1, 1 << 5, 0), 0), refused(72), "not configurable");
    assert_eq!(init(change(1, 1 << 4 | 1 << 19 | 1 << 20 | 1 << 24, 0), 0), TAKEN);
    assert_eq!(init(change(2, 0, 0), 0), refused(2), "reserved");
    let (answer, _) = init(change(0, 1 << 4, 1), 0);
    assert_eq!(answer, status(Status::OPERAND_INVALID, 69), "CPUID comes first");
}
