//! Saving and restoring.

use crate::common::{Answer, BUFFER, Machine, call};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::script::{Op, Script};
use seam_emu::{Config, Durations, Fault, FaultAction, FaultPoint, Firmware, Regs, Reply, RestoreError};

#[test]
fn a_restored_machine_goes_on_where_it_was() {
    let mut m = Machine::new(2);
    m.boot_linux();
    let td = m.td(0, &[0], &Script::new().then(Op::Add, 0, 1).then(Op::Halt, 0, 0).then(Op::Jump, 0, 0));
    m.enter(&td, 0, 0);
    let bytes = m.firmware.save();
    let mut other = m.clone();
    other.firmware = Firmware::restore(Config::for_lps(2), &bytes).expect("its own state");
    assert_eq!(other.firmware.save(), bytes, "equal states give equal bytes");
    for machine in [&mut m, &mut other] {
        machine.enter(&td, 0, 0);
        machine.update(&ImageSpec::version(1, 5, 7));
    }
    assert_eq!(m.firmware.save(), other.firmware.save());
}

#[test]
fn calls_in_flight_are_saved() {
    let durations = Durations { default_ns: 100, ..Durations::default() };
    let config = Config { durations, ..Config::for_lps(2) };
    let mut m = Machine::with(config.clone(), &ImageSpec::default());
    let info = Regs { rcx: BUFFER, ..call(Leaf::LdrInfo) };
    assert!(matches!(m.execute(0, info).0, Reply::Wait { until_ns: 100 }));
    m.firmware = Firmware::restore(config, &m.firmware.save()).expect("its own state");
    assert_eq!(m.call(1, info), Answer::VmFailInvalid, "LP 0 is still inside");
    m.now_ns = 100;
    m.ok(0, info);
}

#[test]
fn faults_and_durations_of_another_plan_can_be_restored_under() {
    let mut m = Machine::new(1);
    m.boot_linux();
    let fault = Fault {
        leaf: "TDH.SYS.SHUTDOWN".to_owned(),
        lp: None,
        nth: 1,
        times: Some(1),
        at: FaultPoint::Before,
        action: FaultAction::Status(Status::SYS_BUSY.0),
    };
    let config = Config { faults: vec![fault], ..Config::for_lps(1) };
    m.firmware = Firmware::restore(config, &m.firmware.save()).expect("the same platform");
    assert_eq!(m.call(0, call(Leaf::SysShutdown)), Answer::Status(Status::SYS_BUSY));
}

#[test]
fn other_platforms_and_damaged_states_cannot_be_restored() {
    let m = Machine::new(2);
    let bytes = m.firmware.save();
    let refused = |config: Config, bytes: &[u8]| Firmware::restore(config, bytes).map(drop).expect_err("refused");
    assert_eq!(refused(Config::for_lps(3), &bytes), RestoreError::OtherConfig);
    assert_eq!(refused(Config { tdx_keyids: 31, ..Config::for_lps(2) }, &bytes), RestoreError::OtherConfig);
    assert_eq!(refused(Config::for_lps(2), &bytes[..bytes.len() - 1]), RestoreError::Form);
    assert_eq!(refused(Config::for_lps(2), b""), RestoreError::Form);
    let mut other = bytes.clone();
    other[8] += 1;
    assert_eq!(refused(Config::for_lps(2), &other), RestoreError::Form, "another version of the form");
    assert!(matches!(refused(Config { tdx_keyids: 1, ..Config::for_lps(2) }, &bytes), RestoreError::Config(_)));
}
