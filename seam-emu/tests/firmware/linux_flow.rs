//! What Linux 7.3 does at boot and for an update, from end to end.

use crate::common::{Answer, Machine, call};
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::{self, ImageSpec};
use seam_emu::{Note, Regs};

#[test]
fn a_machine_boots_and_updates_twice() {
    let mut m = Machine::new(4);
    assert_eq!(m.firmware.module_state(), 0);
    m.boot_linux();
    assert_eq!(m.firmware.module_state(), 3);
    assert_eq!(m.version(), (1, 5, 6));
    m.update(&ImageSpec::version(1, 5, 7));
    assert_eq!(m.version(), (1, 5, 7));
    m.update(&ImageSpec::version(1, 5, 8));
    assert_eq!(m.version(), (1, 5, 8));
    assert_eq!(m.firmware.module_state(), 3);
    // The TDMRs came with the handoff: nothing is left to initialise.
    assert_eq!(m.call(0, call(Leaf::SysTdmrInit)), Answer::Status(Status::TDMR_ALREADY_INITIALIZED));
}

#[test]
fn an_update_is_noted_state_by_state() {
    let mut m = Machine::new(2);
    m.boot_linux();
    m.firmware.take_notes();
    m.update(&ImageSpec::version(1, 5, 7));
    let states: Vec<(u64, u64)> = m
        .firmware
        .take_notes()
        .into_iter()
        .filter_map(|note| match note {
            Note::ModuleState { old, new } => Some((old, new)),
            _ => None,
        })
        .collect();
    assert_eq!(states, [(3, 4), (4, 5), (5, 0), (0, 1), (1, 3)]);
    assert_eq!(m.firmware.take_notes(), []);
}

#[test]
fn an_update_after_the_last_one_loses_the_module() {
    let config = seam_emu::Config { remaining_updates: 1, ..seam_emu::Config::for_lps(2) };
    let mut m = Machine::with(config, &ImageSpec::default());
    m.boot_linux();
    m.update(&ImageSpec::version(1, 5, 7));
    m.ok(0, call(Leaf::SysShutdown));
    let next = image::build(&ImageSpec::version(1, 5, 8));
    assert_eq!(m.install(&next, 1), Answer::Status(Status::EBADCALL));
    assert_eq!(m.regs.rdx, 0, "recoverable");
    // The old module can be called again, and is still shut down.
    assert_eq!(m.call(0, Regs { rdx: 0, ..call(Leaf::SysRd) }), Answer::Status(Status::SYS_SHUTDOWN));
}
