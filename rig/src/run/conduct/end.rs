//! The end of a run: the machine is looked at while it stands, ended, and all that is known put together.

use super::autopsy::diagnose::{self, Autopsy, diagnosis, examine};
use super::exit_cause::end_of_exit;
use super::observer::{Alarm, Observed};
use super::running_machine::{GRACE, RunningMachine};
use super::stop::Stop;
use crate::guest::KernelLine;
use crate::machine::logs;
use crate::run::record::guest_report::GuestReport;
use crate::run::record::run_record::{ExaminedMachine, RunConditions, RunRecord, RunTimes};
use rig_judge::RunEnd;
use rig_judge::timeline::Decoder;
use rig_wire::agent::Command;
use std::time::Duration;

/// Time for an orderly end after Ctrl-C.
const ORDERLY: Duration = Duration::from_secs(5);

/// Ends the machine, and returns the record of the run.
pub(crate) async fn end(running: RunningMachine, stop: Stop, report: GuestReport) -> RunRecord {
    let (mut autopsy, mut module_in_firmware) = (None, None);
    let end = match &stop {
        Stop::Finished => RunEnd::Finished,
        Stop::Alarm(Alarm::Breach(_)) => {
            module_in_firmware = diagnose::module_in_firmware(&running.emulator).await;
            RunEnd::Stopped
        }
        Stop::Alarm(Alarm::Lost(cause)) => RunEnd::Lost { cause: format!("{cause}, while {}", report.doing) },
        Stop::Stalled(what) | Stop::Alarm(Alarm::Hung(what)) => {
            autopsy =
                Some(examine(&running.machine, &running.guest, &running.emulator, &running.subject.symbols).await);
            RunEnd::Hung { what: format!("{what}, while {}", report.doing) }
        }
        Stop::Exited(status) => {
            end_of_exit(&running.machine, &running.parts.spec.console, *status, &report.doing).await
        }
        Stop::Step(error) => RunEnd::Lost { cause: error.to_string() },
        Stop::Interrupted => {
            orderly_end(&running).await;
            RunEnd::Lost { cause: format!("interrupted, while {}", report.doing) }
        }
    };
    record(running, &stop, end, (autopsy, module_in_firmware), report).await
}

/// Ends the machine, has the judge finish, and puts together what is known.
async fn record(
    running: RunningMachine,
    stop: &Stop,
    end: RunEnd,
    (autopsy, module_in_firmware): (Option<Autopsy>, Option<String>),
    report: GuestReport,
) -> RunRecord {
    let repeats = running.parts.plan.deterministic && !is_end_timed_by_host(&running, stop);
    drop(running.machine);
    // With the machine the agent's channel ends, and with it, once all lines are read, the log.
    let _ = tokio::time::timeout(GRACE, running.kernel_log).await;
    if matches!(end, RunEnd::Crashed { .. }) {
        // The agent could not send the last lines of the kernel's log; the serial console has them.
        let console = logs::read(&running.parts.spec.console);
        let lines = running.observer.lines();
        console.lines().for_each(|line| lines.line(KernelLine::parse_console(line)));
    }
    let observed = running.observer.finish(end);
    let diagnosis = autopsy.map(|autopsy| {
        let what = if let Stop::Stalled(what) | Stop::Alarm(Alarm::Hung(what)) = stop { what.as_str() } else { "" };
        diagnosis(what, &autopsy, &observed, &Decoder::new(&running.description.setup))
    });
    let Observed { end, findings, digest, .. } = observed;
    RunRecord {
        description: running.description,
        conditions: RunConditions {
            start: running.launch.start.in_verdict(),
            schedules: running.parts.plan.schedules,
            blind: running.parts.plan.ring.is_none(),
            exploring: running.launch.orders.is_some(),
        },
        guest: report,
        end,
        interrupted: matches!(stop, Stop::Interrupted),
        findings,
        digest: repeats.then_some(digest),
        examined: ExaminedMachine { diagnosis, module_in_firmware },
        times: RunTimes { machine: running.started.elapsed(), total: running.launch.total.elapsed() },
    }
}

/// Whether the time at which the host ended the run decides where the timeline ends.
fn is_end_timed_by_host(running: &RunningMachine, stop: &Stop) -> bool {
    match stop {
        Stop::Finished | Stop::Alarm(Alarm::Breach(_)) | Stop::Exited(_) => false,
        Stop::Stalled(_) => running.machine.process.status().is_none(),
        Stop::Alarm(Alarm::Lost(_) | Alarm::Hung(_)) | Stop::Step(_) | Stop::Interrupted => true,
    }
}

/// Lets the guest power off, unless that takes long or Ctrl-C comes again.
async fn orderly_end(running: &RunningMachine) {
    let off = async {
        let _ = running.guest.request(Command::PowerOff).await;
        running.machine.process.exited().await
    };
    tokio::select! {
        _ = off => {}
        () = tokio::time::sleep(ORDERLY) => {}
        () = running.interrupts.reached(2) => {}
    }
}
