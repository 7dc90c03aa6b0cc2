//! TDs that are under construction while the module is replaced, and states in statuses.

use super::{MODULE_HV, hand_over, invalid, ready, status};
use crate::common::td::{SCRIPT_GPA, SOURCE, Td, params};
use crate::common::{Answer, Machine, call};
use seam_emu::abi::status::Operand;
use seam_emu::abi::td_params::TdParams;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Generation, Regs};

const AVOID_COMPAT_SENSITIVE: u64 = 1 << 16;
const UPDATE_COMPATIBILITY: u64 = 1 << 47;
const SENSITIVE: u64 = 0x8000_0512_0000_0000;

/// A TD with a vCPU and a page that waits for MR.FINALIZE only.
fn building(m: &mut Machine, n: u64) -> Td {
    let mut td = m.td_initialized(&params(), n);
    m.td_vcpu(&mut td, 0);
    m.td_tables(&mut td);
    m.td_load(&mut td, SCRIPT_GPA, &[0; 4096]);
    td
}

/// Replaces the module; UPDATE version 1 enables these features.
fn update(m: &mut Machine, new: &ImageSpec, features: u64) {
    hand_over(m, new);
    m.ok(0, Regs { rax: Leaf::SysUpdate.number() | 1 << 16, r9: features, ..Regs::default() });
}

fn finalize(td: &Td) -> Regs {
    Regs { rcx: td.tdr, ..call(Leaf::MrFinalize) }
}

/// SHUTDOWN that is to be refused while a TD is built.
fn shutdown_carefully(m: &mut Machine) -> Answer {
    let hv = m.field(MODULE_HV);
    m.call(0, Regs { rcx: hv | AVOID_COMPAT_SENSITIVE, ..call(Leaf::SysShutdown) })
}

fn assert_consistent(m: &Machine) {
    assert_eq!(m.firmware.audit(), Vec::<String>::new());
}

#[test]
fn a05_only_the_newest_counts_tds_under_construction() {
    let mut m = ready(Generation::V1_5_25);
    let td = building(&mut m, 0);
    building(&mut m, 1);
    assert_eq!(shutdown_carefully(&mut m), status(SENSITIVE | 2 << 16));
    m.ok(0, finalize(&td));
    assert_eq!(shutdown_carefully(&mut m), status(SENSITIVE | 1 << 16));
    assert_consistent(&m);
    let mut old = ready(Generation::V1_5_16);
    building(&mut old, 0);
    assert_eq!(shutdown_carefully(&mut old), invalid(Operand::Rcx), "it has no such flag");
    assert_consistent(&old);
}

#[test]
fn a05_a_count_is_handed_over() {
    let mut m = ready(Generation::V1_5_25);
    let td = building(&mut m, 0);
    update(&mut m, &ImageSpec { update: 26, ..ImageSpec::of(Generation::V1_5_25) }, UPDATE_COMPATIBILITY);
    assert_eq!(shutdown_carefully(&mut m), status(SENSITIVE | 1 << 16));
    m.ok(0, finalize(&td));
    assert_eq!(shutdown_carefully(&mut m), Answer::Status(Status::SUCCESS));
}

#[test]
fn a05_a_td_that_is_given_up_is_not_counted() {
    let mut m = ready(Generation::V1_5_25);
    let td = building(&mut m, 0);
    m.ok(0, Regs { rcx: td.vcpus[0], ..call(Leaf::VpFlush) });
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
    assert_consistent(&m);
    assert_eq!(shutdown_carefully(&mut m), Answer::Status(Status::SUCCESS));
}

#[test]
fn a05_a_module_that_does_not_count_ends_the_count() {
    // Hardware refuses this: a module that counts hands its data to none that does not.
    let counting =
        ImageSpec { features0: ImageSpec::default().features0 | UPDATE_COMPATIBILITY, ..ImageSpec::default() };
    let mut m = Machine::with(seam_emu::Config::for_lps(1), &counting);
    m.boot_linux();
    let td = building(&mut m, 0);
    m.update(&ImageSpec::version(1, 5, 7));
    assert_consistent(&m);
    m.update(&ImageSpec { update: 8, ..counting });
    assert_consistent(&m);
    assert_eq!(shutdown_carefully(&mut m.clone()), Answer::Status(Status::SUCCESS));
    m.ok(0, finalize(&td));
    assert_consistent(&m);
}

#[test]
fn e13_a_measurement_that_an_older_module_began_is_not_continued_if_update_forbids_it() {
    let mut m = ready(Generation::V1_5_16);
    let mut td = building(&mut m, 0);
    update(&mut m, &ImageSpec::of(Generation::V1_5_25), UPDATE_COMPATIBILITY);
    let refused = status(0xC000_0622_0000_0000);
    let add = Regs { rcx: SCRIPT_GPA + 4096, rdx: td.tdr, r8: td.page(), r9: SOURCE, ..call(Leaf::MemPageAdd) };
    assert_eq!(m.call(0, add), refused);
    assert_eq!(m.call(0, Regs { rcx: SCRIPT_GPA, rdx: td.tdr, ..call(Leaf::MrExtend) }), refused);
    assert_eq!(m.call(0, finalize(&td)), refused);
    let fresh = building(&mut m, 1);
    m.ok(0, finalize(&fresh));
    assert_consistent(&m);
}

#[test]
fn e13_a_td_without_vcpus_is_told_so_first() {
    let mut m = ready(Generation::V1_5_16);
    let td = m.td_initialized(&params(), 0);
    update(&mut m, &ImageSpec::of(Generation::V1_5_25), UPDATE_COMPATIBILITY);
    assert_eq!(m.call(0, finalize(&td)), Answer::Status(Status::NO_VCPUS));
}

#[test]
fn e13_otherwise_it_goes_on_and_is_not_counted() {
    for features in [0, 1] {
        let mut m = ready(Generation::V1_5_16);
        let td = building(&mut m, 0);
        update(&mut m, &ImageSpec::of(Generation::V1_5_25), features);
        let mut other = m.clone();
        assert_eq!(shutdown_carefully(&mut other), Answer::Status(Status::SUCCESS), "half built, and not in the way");
        m.ok(0, finalize(&td));
        assert_consistent(&m);
        assert_eq!(shutdown_carefully(&mut m), Answer::Status(Status::SUCCESS));
    }
}

#[test]
fn e05_states_are_told_in_statuses() {
    for (generation, vcpu, op) in [
        (Generation::Configurable, 0, 0),
        (Generation::V1_5_05, 0, 0),
        (Generation::V1_5_16, 2, 0),
        (Generation::V1_5_25, 2, 1),
    ] {
        let mut m = ready(generation);
        let td = building(&mut m, 0);
        let vp_init = Regs { rcx: td.vcpus[0], ..call(Leaf::VpInit) };
        assert_eq!(m.call(0, vp_init), status(0xC000_0700_0000_0000 | vcpu), "{generation:?}: the vCPU is ready");
        let enter = Regs { rcx: td.vcpus[0], ..call(Leaf::VpEnter) };
        assert_eq!(m.call(0, enter), status(0xC000_0608_0000_0000 | op), "{generation:?}: the TD is initialised");
        m.ok(0, finalize(&td));
        assert_eq!(
            m.call(0, finalize(&td)),
            status(0xC000_0608_0000_0000 | (2 * op)),
            "{generation:?}: it is runnable"
        );
    }
}

#[test]
fn e05_a_vcpu_that_is_over_is_told_in_its_status() {
    for (generation, state) in [(Generation::V1_5_05, 0), (Generation::V1_5_16, 8), (Generation::V1_5_25, 8)] {
        let mut m = ready(generation);
        // Without SEPT_VE_DISABLE a pending page gives a #VE, for which a script has no handler: a triple fault.
        let params = TdParams { attributes: 0, ..params() };
        let mut td = m.td_with(&params, 0, &[0], &Script::new().then(Op::Store, 0, 0x9008));
        m.ok(0, Regs { rcx: 0x9000, rdx: td.tdr, r8: td.page(), ..call(Leaf::MemPageAug) });
        assert_eq!(m.enter(&td, 0, 0), 0x4000_0001_0000_0002);
        assert_eq!(m.enter(&td, 0, 0), 0xC000_0700_0000_0000 | state, "{generation:?}");
    }
}

#[test]
fn e04_a_duplicate_x2apic_id_is_told() {
    for generation in [Generation::V1_5_05, Generation::V1_5_16, Generation::V1_5_25] {
        let mut m = ready(generation);
        let mut td = building(&mut m, 0);
        let tdvpr = td.page();
        m.ok(0, Regs { rcx: tdvpr, rdx: td.tdr, ..call(Leaf::VpCreate) });
        for _ in 1..6 {
            m.ok(0, Regs { rcx: td.page(), rdx: tdvpr, ..call(Leaf::VpAddcx) });
        }
        let init = Regs { rax: Leaf::VpInit.number() | 1 << 16, rcx: tdvpr, r8: 0, ..Regs::default() };
        assert_eq!(m.call(0, init), status(0xC000_0621_0000_0000), "{generation:?}");
    }
}
