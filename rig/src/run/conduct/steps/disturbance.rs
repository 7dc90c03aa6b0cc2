//! What the scenario has others attempt while the first update is under way.

use super::context::StepContext;
use super::cpus;
use super::device::{DEVICE, UPLOADS};
use crate::guest::GuestError;
use crate::scenario::{Act, CpuSwitch, Moment};
use rig_wire::agent::Command;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

/// How long an upload, or a hold in it, may take to begin where an attempt waits for it.
const BEGINS_WITHIN: Duration = Duration::from_secs(10);

/// How often the records are asked for a hold: a small part of what holds last.
const HOLD_POLL: Duration = Duration::from_millis(1);

/// The results of what others attempted. An attempt that the scenario asks for and that is missing here came too late.
#[derive(Debug, Default)]
pub(super) struct Disturbance {
    /// CPUs that were switched, in the scenario's order, each with the errno if the kernel refused.
    pub(super) switches: Vec<(CpuSwitch, Option<i32>)>,
    /// The errno of each other act that was refused, in the scenario's order.
    pub(super) refusals: Vec<Option<i32>>,
}

/// Makes the attempts of the scenario while the update is under way: CPUs are switched first, as the kernel may let
/// that wait until the update is over.
pub(super) async fn disturb(context: &StepContext<'_>) -> Result<Disturbance, GuestError> {
    let mut done = Disturbance::default();
    let switches = &context.scenario.switches;
    let is_asked = switches.iter().any(|switch| switch.when.is_in_update()) || !context.scenario.during.is_empty();
    let before = context.tally.begun.load(Ordering::Acquire);
    if !is_asked || !begins(context).await {
        return Ok(done);
    }
    for switch in cpus::at(context, Moment::During) {
        done.switches.push((switch.clone(), cpus::switch_cpu(context, switch).await?));
    }
    for switch in cpus::at(context, Moment::Held) {
        if holds_begin(context, before).await {
            done.switches.push((switch.clone(), cpus::switch_cpu(context, switch).await?));
        }
    }
    let module = context.modules.last().map(|module| module.name.clone()).unwrap_or_default();
    for during in &context.scenario.during {
        done.refusals.push(match during.act {
            Act::Upload => upload_beside(context).await,
            Act::Unload => refusal(context, Command::UnloadModule { name: module.clone() }).await,
        });
    }
    Ok(done)
}

/// An upload write by write: the agent itself makes one after the other. The kernel takes no data while another is under way.
async fn upload_beside(context: &StepContext<'_>) -> Option<i32> {
    let writes: [(&str, &[u8]); 3] = [("loading", b"1"), ("data", &[0; 4096]), ("loading", b"0")];
    for (file, bytes) in writes {
        let path = format!("/sys/class/firmware/{DEVICE}/{file}");
        let errno = refusal(context, Command::Write { path, data: bytes.to_vec() }).await;
        if errno.is_some() {
            return errno;
        }
    }
    None
}

/// The errno with which the guest refuses; none: it does it.
async fn refusal(context: &StepContext<'_>, command: Command) -> Option<i32> {
    match context.guest.request(command).await {
        Err(GuestError::Failed(failure)) => failure.errno,
        _ => None,
    }
}

/// Waits for the upload to be under way, for some seconds at most.
async fn begins(context: &StepContext<'_>) -> bool {
    let until = Instant::now() + BEGINS_WITHIN;
    while Instant::now() < until {
        for upload in UPLOADS {
            if context.guest.read(upload).await.is_ok_and(|status| status != "idle") {
                return true;
            }
        }
    }
    false
}

/// Waits for a hold to begin, for some seconds at most. `before`: how many began before the upload.
async fn holds_begin(context: &StepContext<'_>, before: u64) -> bool {
    let until = Instant::now() + BEGINS_WITHIN;
    while context.tally.begun.load(Ordering::Acquire) == before {
        if Instant::now() >= until {
            return false;
        }
        tokio::time::sleep(HOLD_POLL).await;
    }
    true
}
