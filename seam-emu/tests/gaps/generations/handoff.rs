//! What modules hand to one another, and what they refuse.

use super::{DATA_SIZE, MODULE_HV, hand_over, invalid, pending, ready, status};
use crate::common::td::params;
use crate::common::{Answer, Machine, call, image};
use seam_emu::abi::status::Operand;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{Image, ImageSpec};
use seam_emu::{Config, Fault, FaultAction, FaultPoint, Generation, Regs};

const OK: Answer = Answer::Status(Status::SUCCESS);

#[test]
fn e06_handoff_data_have_the_published_size() {
    for (old, size) in [
        (Generation::V1_5_01, 53_386),
        (Generation::V1_5_05, 53_386),
        (Generation::V1_5_16, 53_386),
        (Generation::V1_5_25, 53_391),
    ] {
        let mut m = ready(old);
        hand_over(&mut m, &ImageSpec { update: 99, ..ImageSpec::of(Generation::V1_5_25) });
        assert_eq!(m.field(DATA_SIZE), size, "{old:?}");
        m.ok(0, call(Leaf::SysUpdate));
    }
}

#[test]
fn e06_sys_init_wants_14_pages() {
    for generation in [Generation::V1_5_05, Generation::V1_5_25] {
        for (pages, fits) in [(13, false), (14, true)] {
            let mut file = Image::parse(&image(&ImageSpec::of(generation))).expect("valid");
            file.sigstruct.num_handoff_pages = (pages - 1).into();
            file.sign();
            let mut m = Machine::new(1);
            m.call(0, call(Leaf::LdrCleanup));
            assert_eq!(m.install(&file.to_file(), 0), OK);
            let expected = if fits { OK } else { Answer::Status(Status::SYS_INCOMPATIBLE_SIGSTRUCT) };
            assert_eq!(m.call(0, call(Leaf::SysInit)), expected, "{pages} pages, {generation:?}");
        }
    }
}

#[test]
fn e12_the_newest_produces_its_own_version_only() {
    let mut m = ready(Generation::V1_5_25);
    for hv in [0, 2, 1 << 17 | 1] {
        assert_eq!(m.call(0, Regs { rcx: hv, ..call(Leaf::SysShutdown) }), invalid(Operand::Rcx), "{hv:#x}");
    }
    m.ok(0, Regs { rcx: 1, ..call(Leaf::SysShutdown) });
    let mut old = ready(Generation::V1_5_16);
    assert_eq!(old.call(0, Regs { rcx: 1, ..call(Leaf::SysShutdown) }), invalid(Operand::Rcx));
    old.ok(0, call(Leaf::SysShutdown));
}

#[test]
fn e12_sys_init_insists_that_the_newest_is_signed_as_it_was_built() {
    for (hv, no_downgrade, fits) in [(1, 1, true), (0, 1, false), (1, 0, false)] {
        let mut file = Image::parse(&image(&ImageSpec::of(Generation::V1_5_25))).expect("valid");
        (file.sigstruct.module_hv, file.sigstruct.no_downgrade) = (u16::from(hv != 0).into(), no_downgrade);
        file.sign();
        let mut m = Machine::new(1);
        m.call(0, call(Leaf::LdrCleanup));
        assert_eq!(m.install(&file.to_file(), 0), OK);
        let expected = if fits { OK } else { status(0xC000_050A_0000_0000) };
        assert_eq!(m.call(0, call(Leaf::SysInit)), expected, "HV {hv}, no downgrade {no_downgrade}");
    }
}

#[test]
fn e12_the_loader_refuses_to_go_back_before_the_module_could() {
    let mut m = ready(Generation::V1_5_25);
    m.ok(0, Regs { rcx: 1, ..call(Leaf::SysShutdown) });
    let older = ImageSpec::of(Generation::V1_5_16);
    assert_eq!(m.install(&image(&older), 1), Answer::Status(Status::EBADSIG), "its SVN is lower");
    let same_svn = ImageSpec { minor_svn: ImageSpec::of(Generation::V1_5_25).minor_svn, ..older };
    assert_eq!(m.install(&image(&same_svn), 1), Answer::Status(Status::EBADHANDOFF));
    assert_eq!(m.firmware.module_state(), 4, "the newer module is still there, shut down");
}

#[test]
fn e12_without_handoff_data_update_fails_and_config_works() {
    let mut m = ready(Generation::V1_5_25);
    m.ok(0, Regs { rcx: 1, ..call(Leaf::SysShutdown) });
    m.ok(0, call(Leaf::LdrCleanup));
    assert_eq!(m.install(&image(&ImageSpec::of(Generation::V1_5_16)), 0), OK);
    m.init_lps();
    assert_eq!(m.call(0, call(Leaf::SysUpdate)), status(0xC000_0509_0000_0000));
    let config = m.config_call(&Machine::tdmr());
    m.ok(0, config);
    m.ok(0, call(Leaf::SysKeyConfig));
}

#[test]
fn a07_an_interrupted_write_back_is_resumed_by_the_next_module() {
    let interrupt = Fault {
        leaf: Leaf::PhymemCacheWb.name().into(),
        lp: None,
        nth: 1,
        times: Some(1),
        at: FaultPoint::Before,
        action: FaultAction::Status(Status::INTERRUPTED_RESUMABLE.0),
    };
    let config = Config { faults: vec![interrupt], ..Config::for_lps(1) };
    let mut m = Machine::with(config, &ImageSpec::of(Generation::V1_5_16));
    m.boot_linux();
    let td = m.td_initialized(&params(), 0);
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
    let interrupted = m.call(0, call(Leaf::PhymemCacheWb));
    assert_eq!(interrupted, Answer::Status(Status::INTERRUPTED_RESUMABLE));
    hand_over(&mut m, &ImageSpec::of(Generation::V1_5_25));
    m.ok(0, call(Leaf::SysUpdate));
    assert_eq!(m.field(MODULE_HV), 1);
    m.ok(0, Regs { rcx: 1, ..call(Leaf::PhymemCacheWb) });
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngKeyFreeid) });
}

#[test]
fn e06_a_platform_with_more_keyids_than_the_table_is_refused() {
    for (tdx_keyids, fits) in [(2016, true), (2017, false)] {
        let config = Config { tdx_keyids, physical_address_bits: 40, ..Config::for_lps(1) };
        let seamrr = seam_emu::MemoryRange { base: 0x20_0000_0000, size: 128 << 20 };
        let mut m = Machine::with(Config { seamrr, ..config }, &ImageSpec::default());
        let expected = if fits { OK } else { status(0xC000_0825_0000_0800) };
        assert_eq!(m.call(0, call(Leaf::SysInit)), expected, "{tdx_keyids} from KeyID 32 on");
    }
    assert_eq!(pending(Generation::V1_5_25).call(0, call(Leaf::SysInit)), OK);
}
