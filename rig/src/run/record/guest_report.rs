//! What a guest reported of its run, step by step.

use super::hw::OrderEnd;
use super::program::ProgramEnd;
use super::tds::TdReports;
use super::upload::Upload;
use crate::scenario::CpuSwitch;
use rig_wire::agent::{LoadReport, Ready};
use std::time::Duration;

/// What is known so far. It is kept when the run is stopped half-way.
#[derive(Debug, Default)]
pub(crate) struct GuestReport {
    /// The agent's first message.
    pub(crate) ready: Option<Ready>,
    /// From QEMU's start to the agent's first message.
    pub(crate) boot: Duration,
    /// Module version before the first update.
    pub(crate) before: Option<String>,
    /// Module version after the last update; none: no module.
    pub(crate) after: Option<String>,
    /// `num_remaining_updates` before and after; none: not read; an error: why it could not be read.
    pub(crate) remaining: (Option<Reading>, Option<Reading>),
    /// Updates that were made, those that failed among them.
    pub(crate) updates: Vec<Upload>,
    /// All updates.
    pub(crate) update: Duration,
    /// The kernel offers no update.
    pub(crate) absent: bool,
    /// The errno with which a module refused to load.
    pub(crate) refused: Option<i32>,
    /// What others attempted during the first update, in the scenario's order: the errno, if it was refused.
    pub(crate) during: Vec<Option<i32>>,
    /// CPUs that were switched, in the scenario's order: the errno where the kernel refused.
    pub(crate) switches: Vec<(CpuSwitch, Option<i32>)>,
    /// What became of the trust domains.
    pub(crate) tds: TdReports,
    /// What the loads did.
    pub(crate) loads: Vec<LoadReport>,
    /// What became of the orders to the program for real hosts.
    pub(crate) hw: Vec<OrderEnd>,
    /// What became of the clients.
    pub(crate) clients: Vec<ProgramEnd>,
    /// What is under way, for the description of a hang.
    pub(crate) doing: String,
}

/// A number that was read in the guest, or why it could not be read.
pub(crate) type Reading = Result<u32, String>;
