//! What a leaf does: its checks, their order, its locks and what it leaves in registers.

mod fields;
mod init;
mod internal_failure;
mod large;
mod low;
mod memory;
mod vp_init;

use crate::common::{Answer, Machine};
use seam_emu::abi::Status;
use seam_emu::image::ImageSpec;
use seam_emu::{Config, Durations};

/// The answer of a status with the low bits given.
fn status(status: Status, detail: u64) -> Answer {
    Answer::Status(Status(status.0 | detail))
}

/// A booted machine of `n` LPs on which calls of one leaf last 1000 ns.
fn lasting(n: usize, leaf: &str) -> Machine {
    let mut durations = Durations::default();
    durations.leaf_ns.insert(leaf.to_owned(), 1000);
    let mut m = Machine::with(Config { durations, ..Config::for_lps(n) }, &ImageSpec::default());
    m.boot_linux();
    m
}
