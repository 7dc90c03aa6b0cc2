//! Faults of the plan.

use crate::common::{Answer, BUFFER, Machine, call};
use seam_emu::abi::{Leaf, Status};
use seam_emu::faults::FaultError;
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Config, ConfigError, Corruption, Fault, FaultAction, FaultPoint, Note, Regs, Reply};

fn fault(leaf: &str, action: FaultAction) -> Fault {
    Fault { leaf: leaf.to_owned(), lp: None, nth: 1, times: Some(1), at: FaultPoint::Before, action }
}

fn machine(n: usize, faults: Vec<Fault>) -> Machine {
    Machine::with(Config { faults, ..Config::for_lps(n) }, &ImageSpec::default())
}

const ENTROPY: FaultAction = FaultAction::Status(Status::RND_NO_ENTROPY.0);

#[test]
fn a_status_can_come_before_or_after_the_work() {
    let mut m = machine(1, vec![fault("TDH.SYS.INIT", ENTROPY)]);
    assert_eq!(m.call(0, call(Leaf::SysInit)), Answer::Status(Status::RND_NO_ENTROPY));
    assert!(m.completion.by_fault);
    assert_eq!(m.firmware.module_state(), 0);
    m.ok(0, call(Leaf::SysInit));
    assert!(!m.completion.by_fault);
    let mut m = machine(1, vec![Fault { at: FaultPoint::After, ..fault("TDH.SYS.INIT", ENTROPY) }]);
    assert_eq!(m.call(0, call(Leaf::SysInit)), Answer::Status(Status::RND_NO_ENTROPY));
    assert_eq!(m.firmware.module_state(), 1, "the work was done");
}

#[test]
fn vmfailinvalid_can_come_before_or_after_the_work() {
    for (at, state) in [(FaultPoint::Before, 0), (FaultPoint::After, 1)] {
        let mut m = machine(1, vec![Fault { at, ..fault("TDH.SYS.INIT", FaultAction::VmFailInvalid) }]);
        let dirty = Regs { rdx: 5, ..call(Leaf::SysInit) };
        assert_eq!(m.call(0, dirty), Answer::VmFailInvalid);
        assert_eq!(m.regs, dirty, "no register changes");
        assert_eq!(m.firmware.module_state(), state, "{at:?}");
    }
}

#[test]
fn a_fault_strikes_the_calls_it_names() {
    let struck = |fault: Fault| -> Vec<(usize, bool)> {
        let mut m = machine(2, vec![fault]);
        let calls = [0, 1, 0, 1, 0, 1];
        let info = Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) };
        calls.into_iter().map(|lp| (lp, m.call(lp, info) != Answer::Status(Status::SUCCESS))).collect()
    };
    let hits = |fault: Fault| struck(fault).iter().map(|(_, hit)| if *hit { 'x' } else { '.' }).collect::<String>();
    let base = fault("SEAMLDR.INFO", FaultAction::VmFailInvalid);
    assert_eq!(hits(base.clone()), "x.....");
    assert_eq!(hits(Fault { nth: 3, ..base.clone() }), "..x...");
    assert_eq!(hits(Fault { nth: 3, times: Some(2), ..base.clone() }), "..xx..");
    assert_eq!(hits(Fault { nth: 2, times: None, ..base.clone() }), ".xxxxx");
    assert_eq!(hits(Fault { lp: Some(1), ..base.clone() }), ".x....");
    assert_eq!(hits(Fault { lp: Some(1), nth: 2, times: None, ..base.clone() }), "...x.x");
    assert_eq!(hits(Fault { leaf: "SEAMLDR.INSTALL".to_owned(), ..base }), "......");
}

#[test]
fn a_delay_before_keeps_the_lp_inside_without_its_work() {
    let mut m = machine(2, vec![fault("SEAMLDR.INFO", FaultAction::DelayNs(100))]);
    let info = Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) };
    assert!(matches!(m.execute(0, info).0, Reply::Wait { until_ns: 100 }));
    assert_eq!(m.get::<u64>(BUFFER), 0, "nothing was written yet");
    assert_eq!(m.call(1, info), Answer::VmFailInvalid, "LP 0 is inside P-SEAMLDR");
    m.now_ns = 100;
    m.ok(0, info);
    assert_ne!(m.get::<u64>(BUFFER + 8), 0);
    assert_eq!(m.firmware.held_locks(), []);
}

#[test]
fn an_interrupt_during_a_delay_can_make_a_call_of_its_own() {
    let mut m = machine(1, vec![fault("SEAMLDR.INFO", FaultAction::DelayNs(100))]);
    let info = Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) };
    assert!(matches!(m.execute(0, info).0, Reply::Wait { until_ns: 100 }));
    assert!(matches!(m.execute(0, call(Leaf::SysInit)).0, Reply::Wait { until_ns: 100 }));
    m.now_ns = 100;
    m.ok(0, call(Leaf::SysInit));
    assert_ne!(m.get::<u64>(BUFFER + 8), 0, "the delayed call did its work first");
    m.ok(0, info);
}

#[test]
fn a_delay_after_holds_the_locks_of_finished_work() {
    let delay = Fault { at: FaultPoint::After, ..fault("TDH.SYS.INIT", FaultAction::DelayNs(100)) };
    let mut m = machine(2, vec![delay]);
    assert!(matches!(m.execute(0, call(Leaf::SysInit)).0, Reply::Wait { until_ns: 100 }));
    assert_eq!(m.firmware.module_state(), 1);
    assert_eq!(m.call(1, call(Leaf::SysLpInit)), Answer::Status(Status::SYS_BUSY));
    m.now_ns = 100;
    m.ok(0, call(Leaf::SysInit));
}

#[test]
fn a_call_can_be_made_never_to_return() {
    for (at, state) in [(FaultPoint::Before, 0), (FaultPoint::After, 1)] {
        let mut m = machine(2, vec![Fault { at, ..fault("TDH.SYS.INIT", FaultAction::NeverReturns) }]);
        for now_ns in [0, 1, u64::MAX] {
            m.now_ns = now_ns;
            assert_eq!(m.execute(0, call(Leaf::SysInit)).0, Reply::Never);
        }
        assert_eq!(m.firmware.module_state(), state);
        let free = m.firmware.held_locks().is_empty();
        assert_eq!(free, at == FaultPoint::Before, "locks taken by the work stay held");
        assert!(m.firmware.describe().contains("LP 0 never returns from TDH.SYS.INIT"));
    }
}

#[test]
fn a_shutdown_window_can_be_opened() {
    let mut m = machine(2, vec![fault("TDH.SYS.SHUTDOWN", FaultAction::TransientShutdownNs(100))]);
    m.boot_linux();
    assert!(matches!(m.execute(0, call(Leaf::SysShutdown)).0, Reply::Wait { .. }));
    assert_eq!(m.call(1, Regs { rdx: 0, ..call(Leaf::SysRd) }), Answer::Status(Status::SYS_SHUTDOWN));
    m.now_ns += 100;
    assert_eq!(m.call(0, call(Leaf::SysShutdown)), Answer::Status(Status::SYS_BUSY));
    m.ok(1, Regs { rdx: 0, ..call(Leaf::SysRd) });
}

#[test]
fn cache_write_back_can_be_interrupted_and_resumed() {
    let interrupted = FaultAction::Status(Status::INTERRUPTED_RESUMABLE.0);
    let mut m = machine(1, vec![fault("TDH.PHYMEM.CACHE.WB", interrupted)]);
    m.boot_linux();
    let td = m.td(0, &[0], &Script::new());
    m.ok(0, Regs { rcx: td.vcpus[0], ..call(Leaf::VpFlush) });
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
    assert_eq!(m.call(0, call(Leaf::PhymemCacheWb)), Answer::Status(Status::INTERRUPTED_RESUMABLE));
    m.ok(0, Regs { rcx: 1, ..call(Leaf::PhymemCacheWb) });
    let again = m.call(0, Regs { rcx: 1, ..call(Leaf::PhymemCacheWb) });
    assert_eq!(again, Answer::Status(Status::WBCACHE_RESUME_ERROR));
    m.ok(0, Regs { rcx: td.tdr, ..call(Leaf::MngKeyFreeid) });
}

#[test]
fn an_update_that_spoils_a_td_shows_in_its_digest() {
    for corruption in [Corruption::FlipBit, Corruption::ForgetRegisters, Corruption::DropKeyid] {
        let mut m = machine(1, vec![fault("TDH.SYS.UPDATE", FaultAction::CorruptTd(corruption))]);
        m.boot_linux();
        let td = m.td(0, &[0], &Script::new().then(Op::Set, 0, 7).then(Op::Halt, 0, 0));
        m.enter(&td, 0, 0);
        m.firmware.take_notes();
        m.update(&ImageSpec::version(1, 5, 7));
        let notes = m.firmware.take_notes();
        let digests: Vec<_> = notes.iter().filter(|note| matches!(note, Note::TdDigest { .. })).collect();
        assert_ne!(digests[0], digests[1], "{corruption:?}");
        // Whatever the VMM does now, firmware does not fall over.
        m.enter(&td, 0, 0);
        m.call(0, Regs { rcx: td.tdr, ..call(Leaf::MngVpflushdone) });
    }
}

#[test]
fn faults_that_cannot_happen_are_refused() {
    let base = fault("TDH.SYS.SHUTDOWN", FaultAction::VmFailInvalid);
    let window = FaultAction::TransientShutdownNs(1);
    let corrupt = FaultAction::CorruptTd(Corruption::FlipBit);
    let cases = [
        (Fault { leaf: "TDH.SYS.STOP".to_owned(), ..base.clone() }, FaultError::UnknownLeaf("TDH.SYS.STOP".to_owned())),
        (Fault { lp: Some(4), ..base.clone() }, FaultError::NoSuchLp { lp: 4, lps: 4 }),
        (Fault { nth: 0, ..base.clone() }, FaultError::NthZero),
        (Fault { times: Some(0), ..base.clone() }, FaultError::TimesZero),
        (Fault { action: window, at: FaultPoint::After, ..base.clone() }, FaultError::WindowAfter),
        (fault("TDH.SYS.INIT", window), FaultError::WindowElsewhere("TDH.SYS.INIT".to_owned())),
        (fault("TDH.SYS.INIT", corrupt), FaultError::CorruptionElsewhere("TDH.SYS.INIT".to_owned())),
    ];
    for (bad, cause) in cases {
        let config = Config { faults: vec![base.clone(), bad], ..Config::default() };
        assert_eq!(config.validate(), Err(ConfigError::Fault { index: 1, cause }));
    }
    assert_eq!(Config { faults: vec![base], ..Config::default() }.validate(), Ok(()));
}

#[test]
fn a_fault_in_a_file_strikes_once_unless_it_says_more() {
    let read = |text: &str| serde_json::from_str::<Fault>(text).map_err(|e| e.to_string());
    let short = read(r#"{"leaf": "TDH.SYS.INIT", "action": "vm-fail-invalid"}"#);
    assert_eq!(short, Ok(fault("TDH.SYS.INIT", FaultAction::VmFailInvalid)));
    let long =
        r#"{"leaf": "TDH.SYS.INIT", "lp": 2, "nth": 3, "times": null, "at": "after", "action": {"delay-ns": 7}}"#;
    let action = FaultAction::DelayNs(7);
    let expected = Fault { lp: Some(2), nth: 3, times: None, at: FaultPoint::After, ..fault("TDH.SYS.INIT", action) };
    assert_eq!(read(long), Ok(expected));
    assert!(read(r#"{"leaf": "TDH.SYS.INIT", "action": "vm-fail-invalid", "often": 1}"#).is_err());
}

#[test]
fn the_first_fault_that_matches_strikes_and_all_count() {
    let twice = [
        Fault { nth: 2, ..fault("TDH.SYS.INIT", FaultAction::VmFailInvalid) },
        Fault { times: None, ..fault("TDH.SYS.INIT", ENTROPY) },
    ];
    let mut m = machine(1, twice.to_vec());
    let entropy = Answer::Status(Status::RND_NO_ENTROPY);
    for expected in [entropy, Answer::VmFailInvalid, entropy] {
        assert_eq!(m.call(0, call(Leaf::SysInit)), expected);
    }
}

#[test]
fn a_shutdown_window_opens_only_in_a_ready_module() {
    let mut m = machine(1, vec![fault("TDH.SYS.SHUTDOWN", FaultAction::TransientShutdownNs(100))]);
    assert_eq!(m.call(0, call(Leaf::SysShutdown)), Answer::Status(Status::SYS_NOT_READY));
    assert_eq!(m.firmware.module_state(), 0);
}

#[test]
fn a_delay_adds_to_what_the_call_lasts() {
    let durations = seam_emu::Durations { default_ns: 30, ..seam_emu::Durations::default() };
    for (at, ends) in [(FaultPoint::Before, &[100, 130][..]), (FaultPoint::After, &[130])] {
        let delay = Fault { at, ..fault("TDH.SYS.INIT", FaultAction::DelayNs(100)) };
        let config = Config { faults: vec![delay], durations: durations.clone(), ..Config::for_lps(1) };
        let mut m = Machine::with(config, &ImageSpec::default());
        for &until_ns in ends {
            for now_ns in [m.now_ns, until_ns - 1] {
                m.now_ns = now_ns;
                assert_eq!(m.execute(0, call(Leaf::SysInit)).0, Reply::Wait { until_ns }, "{at:?} {now_ns}");
            }
            m.now_ns = until_ns;
        }
        assert!(matches!(m.execute(0, call(Leaf::SysInit)).0, Reply::Done(_)), "{at:?}");
    }
}
