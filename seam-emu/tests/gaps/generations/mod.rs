//! What differs between generations of the module: handoff data, versions of leaves, constants, fields.

mod fields;
mod handoff;
mod mrtd;
mod run;
mod versions;

use crate::common::{Answer, Machine, call, image};
use seam_emu::abi::status::Operand;
use seam_emu::abi::{Leaf, Status};
use seam_emu::image::ImageSpec;
use seam_emu::{Config, Generation, Regs};

/// Metadata `MODULE_HV`.
const MODULE_HV: u64 = 0x8900_0001_0000_0000;
/// Metadata `HANDOFF_DATA_VALID`.
const DATA_VALID: u64 = 0x8900_0000_0000_0004;
/// Metadata `HANDOFF_DATA_SIZE`.
const DATA_SIZE: u64 = 0x8900_0002_0000_0006;

/// One LP with this module in `SYS_INIT_PENDING`.
fn pending(generation: Generation) -> Machine {
    Machine::with(Config::for_lps(1), &ImageSpec::of(generation))
}

/// One LP with this module, initialised to the end.
fn ready(generation: Generation) -> Machine {
    let mut m = pending(generation);
    m.boot_linux();
    m
}

/// The old module shuts down with the handoff version that it produces; the new one is installed, and all LPs initialised.
fn hand_over(m: &mut Machine, new: &ImageSpec) {
    let hv = m.field(MODULE_HV);
    m.ok(0, Regs { rcx: hv, ..call(Leaf::SysShutdown) });
    assert_eq!(m.install(&image(new), 1), Answer::Status(Status::SUCCESS));
    m.init_lps();
}

fn status(raw: u64) -> Answer {
    Answer::Status(Status(raw))
}

fn invalid(operand: Operand) -> Answer {
    Answer::Status(Status::OPERAND_INVALID.operand(operand))
}
