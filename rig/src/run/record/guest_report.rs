//! What a guest told of its run, step by step.

use super::hw::Ordered;
use super::program::Ended;
use super::tds::TdsTold;
use super::upload::Upload;
use crate::scenario::CpuSwitch;
use rig_wire::agent::{LoadReport, Ready};
use std::time::Duration;

/// What is known so far; kept when the run is stopped half-way.
#[derive(Debug, Default)]
pub(crate) struct Told {
    /// The agent's first message.
    pub(crate) ready: Option<Ready>,
    /// From QEMU's start to the agent's first message.
    pub(crate) boot: Duration,
    /// Module version before the first update.
    pub(crate) before: Option<String>,
    /// Module version after the last update; none: no module.
    pub(crate) after: Option<String>,
    /// `num_remaining_updates` before and after; none: nobody asked; an error: why it could not be read.
    pub(crate) remaining: (Option<Reading>, Option<Reading>),
    /// Updates that were made, those that failed among them.
    pub(crate) updates: Vec<Upload>,
    /// All updates.
    pub(crate) update: Duration,
    /// The kernel offers no update.
    pub(crate) absent: bool,
    /// The errno with which a module refused to load.
    pub(crate) refused: Option<i32>,
    /// What others tried during the first update, in the scenario's order: the errno, if it was refused.
    pub(crate) during: Vec<Option<i32>>,
    /// CPUs that were switched, in the scenario's order: the errno where the kernel refused.
    pub(crate) switches: Vec<(CpuSwitch, Option<i32>)>,
    /// What became of the trust domains.
    pub(crate) tds: TdsTold,
    /// What the loads did.
    pub(crate) loads: Vec<LoadReport>,
    /// What became of the orders to the program for real hosts.
    pub(crate) hw: Vec<Ordered>,
    /// What became of the clients.
    pub(crate) clients: Vec<Ended>,
    /// What is under way, for the words of a hang.
    pub(crate) doing: String,
}

/// A number that the guest tells, or why it does not.
pub(crate) type Reading = Result<u32, String>;
