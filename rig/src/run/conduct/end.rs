//! The end of a run: the machine is looked at while it stands, ended, and all that is known put together.

use super::autopsy::diagnose::{self, Autopsy, diagnosis, examine};
use super::exit_cause::end_of_exit;
use super::live::{GRACE, Live};
use super::observer::{Alarm, Observed};
use super::stop::Stop;
use crate::guest::KernelLine;
use crate::machine::logs;
use crate::run::record::run_record::{ExaminedMachine, RunConditions, RunRecord, RunTimes};
use crate::run::record::told::Told;
use rig_judge::RunEnd;
use rig_judge::timeline::Decoder;
use rig_wire::agent::Command;
use std::time::Duration;

/// Time for an orderly end after Ctrl-C.
const ORDERLY: Duration = Duration::from_secs(5);

/// Ends the machine, and tells how it came to its end.
pub(crate) async fn end(live: Live, stop: Stop, told: Told) -> RunRecord {
    let (mut autopsy, mut module_in_firmware) = (None, None);
    let end = match &stop {
        Stop::Finished => RunEnd::Finished,
        Stop::Alarm(Alarm::Breach(_)) => {
            module_in_firmware = diagnose::module_in_firmware(&live.emulator).await;
            RunEnd::Stopped
        }
        Stop::Alarm(Alarm::Lost(cause)) => RunEnd::Lost { cause: format!("{cause}, while {}", told.doing) },
        Stop::Stalled(what) | Stop::Alarm(Alarm::Hung(what)) => {
            autopsy = Some(examine(&live.machine, &live.guest, &live.emulator, &live.subject.symbols).await);
            RunEnd::Hung { what: format!("{what}, while {}", told.doing) }
        }
        Stop::Exited(status) => end_of_exit(&live.machine, &live.parts.spec.console, *status, &told.doing).await,
        Stop::Drive(error) => RunEnd::Lost { cause: error.to_string() },
        Stop::Interrupted => {
            orderly_end(&live).await;
            RunEnd::Lost { cause: format!("interrupted, while {}", told.doing) }
        }
    };
    record(live, &stop, end, (autopsy, module_in_firmware), told).await
}

/// Ends the machine, has the judge finish, and puts together what is known.
async fn record(
    live: Live,
    stop: &Stop,
    end: RunEnd,
    (autopsy, module_in_firmware): (Option<Autopsy>, Option<String>),
    told: Told,
) -> RunRecord {
    let repeats = live.parts.plan.deterministic && !is_ended_by_host(&live, stop);
    drop(live.machine);
    // With the machine the agent's channel ends, and with it, once all lines are read, the log.
    let _ = tokio::time::timeout(GRACE, live.kernel_log).await;
    if matches!(end, RunEnd::Crashed { .. }) {
        // The agent could not send the last lines of the kernel's log; the serial console has them.
        let console = logs::read(&live.parts.spec.console);
        let lines = live.observer.lines();
        console.lines().for_each(|line| lines.line(KernelLine::parse_console(line)));
    }
    let observed = live.observer.finish(end);
    let diagnosis = autopsy.map(|autopsy| {
        let what = if let Stop::Stalled(what) | Stop::Alarm(Alarm::Hung(what)) = stop { what.as_str() } else { "" };
        diagnosis(what, &autopsy, &observed, &Decoder::new(&live.description.setup))
    });
    let Observed { end, findings, digest, .. } = observed;
    RunRecord {
        description: live.description,
        conditions: RunConditions {
            start: live.launch.start.in_verdict(),
            schedules: live.parts.plan.schedules,
            blind: live.parts.plan.ring.is_none(),
            exploring: live.launch.orders.is_some(),
        },
        told,
        end,
        interrupted: matches!(stop, Stop::Interrupted),
        findings,
        digest: repeats.then_some(digest),
        examined: ExaminedMachine { diagnosis, module_in_firmware },
        times: RunTimes { machine: live.started.elapsed(), total: live.launch.total.elapsed() },
    }
}

/// Whether the timeline ends where the host happened to be.
fn is_ended_by_host(live: &Live, stop: &Stop) -> bool {
    match stop {
        Stop::Finished | Stop::Alarm(Alarm::Breach(_)) | Stop::Exited(_) => false,
        Stop::Stalled(_) => live.machine.process.status().is_none(),
        Stop::Alarm(Alarm::Lost(_) | Alarm::Hung(_)) | Stop::Drive(_) | Stop::Interrupted => true,
    }
}

/// Lets the guest power off, unless that takes long or Ctrl-C comes again.
async fn orderly_end(live: &Live) {
    let off = async {
        let _ = live.guest.request(Command::PowerOff).await;
        live.machine.process.exited().await
    };
    tokio::select! {
        _ = off => {}
        () = tokio::time::sleep(ORDERLY) => {}
        () = live.interrupts.reached(2) => {}
    }
}
