//! Want of entropy and interrupts take the leaf's own way out. Sources: P-SEAMLDR 1.5.02 `seamldr_install.c`
//! (`initialize_memory_constants`, `install_epilogue`) and `seamldr_cleanup.c`; TDX module `tdh_phymem_cache_wb.c`.

use super::status;
use crate::common::{Answer, BUFFER, Machine, call, image};
use seam_emu::abi::seamldr::{SCENARIO_LOAD, SCENARIO_UPDATE, SeamLdrInfo};
use seam_emu::abi::{Leaf, Status};
use seam_emu::faults::FaultError;
use seam_emu::image::ImageSpec;
use seam_emu::script::Script;
use seam_emu::{Config, ConfigError, Fault, FaultAction, FaultPoint, Regs};

fn fault(leaf: &str, at: FaultPoint, status: Status) -> Fault {
    let action = FaultAction::Status(status.0);
    Fault { leaf: leaf.to_owned(), lp: None, nth: 1, times: Some(1), at, action }
}

/// A machine that is ready for its first update, on which the fault strikes.
fn updating(n: usize, fault: Fault) -> Machine {
    let mut m = Machine::with(Config { faults: vec![fault], ..Config::for_lps(n) }, &ImageSpec::default());
    m.boot_linux();
    m.ok(0, call(Leaf::SysShutdown));
    m
}

fn info(m: &mut Machine) -> SeamLdrInfo {
    m.ok(0, Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) });
    m.get(BUFFER)
}

#[test]
fn a02_install_without_entropy_for_the_layout_ends_the_session_and_opens_the_old_module() {
    let mut m = updating(3, fault("SEAMLDR.INSTALL", FaultPoint::Before, Status::ENOENTROPY));
    let before = info(&mut m);
    let new = image(&ImageSpec::version(1, 5, 7));
    let install = m.install_call(&new, SCENARIO_UPDATE);
    assert_eq!(m.install_all(install), Answer::Status(Status::ENOENTROPY), "the last LP's");
    assert_eq!((m.regs.rdx, m.completion.by_fault), (0, true));
    let after = info(&mut m);
    assert_eq!(after.seamextend, before.seamextend);
    assert_eq!(after.num_remaining_updates, before.num_remaining_updates);
    assert_eq!(m.call(0, call(Leaf::SysRd)), Answer::Status(Status::SYS_SHUTDOWN), "the old module answers");
    // The next call is the first of a new session, whoever makes it.
    m.ok(2, install);
    assert_eq!(m.call(0, call(Leaf::SysRd)), Answer::VmFailInvalid);
    m.ok(0, install);
    m.ok(1, install);
    assert_eq!(m.firmware.module_state(), 0, "the new module waits for SYS.INIT");
}

#[test]
fn a02_install_without_entropy_for_the_database_leaves_no_module() {
    let mut m = updating(2, fault("SEAMLDR.INSTALL", FaultPoint::After, Status::ENOENTROPY));
    let before = info(&mut m);
    let spec = ImageSpec { minor_svn: 9, ..ImageSpec::version(1, 5, 7) };
    let install = m.install_call(&image(&spec), SCENARIO_UPDATE);
    assert_eq!(m.install_all(install), Answer::Status(Status::ENOENTROPY));
    assert_eq!((m.regs.rdx, m.completion.by_fault), (1, true));
    assert_eq!(m.call(0, call(Leaf::SysRd)), Answer::VmFailInvalid);
    let after = info(&mut m);
    assert_eq!(after.num_remaining_updates, before.num_remaining_updates);
    assert_eq!((after.seamextend.minor_svn, after.seamextend.seam_ready, after.seamextend.valid), (9, 0, 0x1FF));
    assert_ne!(after.seamextend.mrseam, before.seamextend.mrseam, "it tells of the new module");
    // No module was callable when the next session began.
    assert_eq!(m.install_all(install), Answer::Status(Status::EBADPARAM));
    let load = m.install_call(&image(&spec), SCENARIO_LOAD);
    assert_eq!(m.install_all(load), Answer::Status(Status::SUCCESS));
    m.ok(0, call(Leaf::SysInit));
}

#[test]
fn a02_entropy_can_lack_only_when_a_session_ends_and_nothing_else_failed_first() {
    let mut m = updating(2, Fault { nth: 2, ..fault("SEAMLDR.INSTALL", FaultPoint::Before, Status::ENOENTROPY) });
    let mut install = m.install_call(&image(&ImageSpec::version(1, 5, 7)), SCENARIO_UPDATE);
    install.rcx += 8;
    for _ in 0..2 {
        assert_eq!(m.install_all(install), Answer::Status(Status::EBADPARAM));
        assert!(!m.completion.by_fault);
    }
    install.rcx -= 8;
    assert_eq!(m.install_all(install), Answer::Status(Status::SUCCESS), "the second session was the one");
}

#[test]
fn a02_cleanup_is_interrupted_after_the_first_lp_closed_the_module() {
    let mut m = updating(1, fault("SEAMLDR.CLEANUP", FaultPoint::Before, Status::EINTERRUPT));
    let new = m.install_call(&image(&ImageSpec::version(1, 5, 7)), SCENARIO_UPDATE);
    m.ok(0, new);
    assert_eq!(m.call(0, call(Leaf::LdrCleanup)), Answer::Status(Status::EINTERRUPT));
    assert_eq!(m.call(0, call(Leaf::SysInit)), Answer::VmFailInvalid);
    assert_eq!(info(&mut m).seamextend.major_svn, 0);
    assert_eq!(m.call(0, new), Answer::Status(Status::EBADCALL), "a CLEANUP session is under way");
    assert_eq!(m.call(0, call(Leaf::LdrShutdown)), Answer::Status(Status::EBADCALL));
    m.ok(0, call(Leaf::LdrCleanup));
    m.ok(0, call(Leaf::LdrShutdown));
}

#[test]
fn a02_cleanup_is_interrupted_only_where_it_wipes() {
    let mut m = updating(2, fault("SEAMLDR.CLEANUP", FaultPoint::Before, Status::EINTERRUPT));
    m.install(&image(&ImageSpec::version(1, 5, 7)), SCENARIO_UPDATE);
    m.ok(0, call(Leaf::LdrCleanup));
    assert_eq!(m.call(1, call(Leaf::LdrCleanup)), Answer::Status(Status::EINTERRUPT), "the package's last LP wipes");
    assert_eq!(m.call(0, call(Leaf::LdrCleanup)), Answer::Status(Status::EBADCALL), "it has finished");
    m.ok(1, call(Leaf::LdrCleanup));
    for lp in 0..2 {
        m.ok(lp, call(Leaf::LdrCleanup));
    }
}

#[test]
fn a02_an_internal_failure_that_cannot_be_is_refused() {
    let one_lp = Fault { lp: Some(1), ..fault("SEAMLDR.INSTALL", FaultPoint::Before, Status::ENOENTROPY) };
    let late = fault("SEAMLDR.CLEANUP", FaultPoint::After, Status::EINTERRUPT);
    let resumable = fault("TDH.PHYMEM.CACHE.WB", FaultPoint::After, Status::INTERRUPTED_RESUMABLE);
    for (bad, cause) in [
        (one_lp.clone(), FaultError::EntropyOnOneLp),
        (late, FaultError::InterruptAfter("SEAMLDR.CLEANUP".to_owned())),
        (resumable, FaultError::InterruptAfter("TDH.PHYMEM.CACHE.WB".to_owned())),
    ] {
        let config = Config { faults: vec![bad], ..Config::default() };
        assert_eq!(config.validate(), Err(ConfigError::Fault { index: 0, cause }));
    }
    let imposed = Fault { action: FaultAction::Status(Status::EUNSPECERR.0), ..one_lp };
    assert_eq!(Config { faults: vec![imposed], ..Config::default() }.validate(), Ok(()));
}

#[test]
fn a08_a_resumed_write_back_covers_the_keyids_of_its_start() {
    let mut m = updating_tds();
    let (a, b) = (m.td(0, &[0], &Script::new()), m.td(1, &[0], &Script::new()));
    let block = |m: &mut Machine, td: &crate::common::td::Td| {
        m.ok(0, Regs { rcx: td.vcpus[0], ..call(Leaf::VpFlush) });
        m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
    };
    assert_eq!(m.call(0, call(Leaf::PhymemCacheWb)), Answer::Status(Status::NO_HKID_READY_TO_WBCACHE));
    assert!(!m.completion.by_fault, "without a KeyID it is not interrupted");
    block(&mut m, &a);
    assert_eq!(m.call(0, call(Leaf::PhymemCacheWb)), Answer::Status(Status::INTERRUPTED_RESUMABLE));
    block(&mut m, &b);
    m.ok(0, Regs { rcx: 1, ..call(Leaf::PhymemCacheWb) });
    m.ok(0, Regs { rcx: a.tdr, ..call(Leaf::MngKeyFreeid) });
    let other = m.call(0, Regs { rcx: b.tdr, ..call(Leaf::MngKeyFreeid) });
    assert_eq!(other, status(Status::WBCACHE_NOT_COMPLETE, 0));
    m.ok(0, call(Leaf::PhymemCacheWb));
    m.ok(0, Regs { rcx: b.tdr, ..call(Leaf::MngKeyFreeid) });
}

/// A machine whose first write-back is interrupted.
fn updating_tds() -> Machine {
    let interrupt = fault("TDH.PHYMEM.CACHE.WB", FaultPoint::Before, Status::INTERRUPTED_RESUMABLE);
    let mut m = Machine::with(Config { faults: vec![interrupt], ..Config::for_lps(1) }, &ImageSpec::default());
    m.boot_linux();
    m
}
