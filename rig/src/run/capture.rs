//! A machine that is stopped where each of its CPUs is about to enter a function, in its last update.

use super::conduct::choose_start::choose_start;
use super::conduct::launch::Launch;
use super::conduct::observer::Alarm;
use super::conduct::running_machine::RunningMachine;
use super::conduct::runtime::runtime;
use super::conduct::start::start;
use super::conduct::steps::boot::{boot, section_begins};
use super::conduct::steps::readings::read_before;
use super::conduct::steps::update::update;
use super::conduct::stop::Stop;
use super::prepare::prepared::Prepared;
use super::record::guest_report::GuestReport;
use super::record::upload::Upload;
use crate::machine::core_file::CoreFile;
use crate::machine::standstill::{StandstillError, stop_at, write_core};
use crate::trouble::Trouble;
use rig_images::Progress;
use rig_judge::RunEnd;
use rig_wire::plan::{Control, Hold, HoldStart, Point, Until};
use seam_emu::Config;
use std::path::Path;
use std::time::Instant;

const CORE: &str = "machine.core";
const FIRMWARE: &str = "firmware.state";
/// Longer than the machine will stand.
const HOLD_NS: u64 = 3_600_000_000_000;

/// What was taken from a machine that stands.
#[derive(Debug)]
pub(crate) struct CapturedMachine {
    /// Memory and registers.
    pub(crate) core: CoreFile,
    /// Symbols of the subject's module: name, address, size in bytes.
    pub(crate) module: Vec<(String, u64, u64)>,
    /// The firmware's configuration, and its state as seam-emu saves it.
    pub(crate) firmware: (Config, Vec<u8>),
}

/// Makes the updates of the scenario, of which all but the last must fail, and stops the machine in the last one, where every
/// CPU is about to enter `function`. The run folder is removed.
pub(crate) fn capture(prepared: Prepared, function: &str, progress: &Progress) -> Result<CapturedMachine, Trouble> {
    let prepared = prepared.on_bare_metal();
    let in_kernel = prepared.subject().symbols.address(function);
    let cpus = prepared.machine().spec.cpus;
    // Only addresses that the plan names are watched, besides all of the subject's module.
    let prepared = prepared.holding_at(in_kernel.map_or_else(Vec::new, |address| holds(cpus, address)));
    let folder = prepared.folder().to_owned();
    let captured = stand(prepared, (function, in_kernel), progress);
    let captured = captured.map_err(|trouble| Trouble {
        cause: format!("the machine whose state was to be taken: {} ({})", trouble.cause, folder.display()),
        ..trouble
    })?;
    std::fs::remove_dir_all(&folder).map_err(|error| Trouble::file("remove", &folder, &error))?;
    Ok(captured)
}

/// A hold of each CPU, for longer than the machine lives.
fn holds(cpus: u32, address: u64) -> Vec<Hold> {
    let hold = |lp| Hold {
        lp,
        at: Point::Pc { address },
        nth: 1,
        from: HoldStart::Section,
        until: Until::ElapsedNs(HOLD_NS),
        limit_ns: 2 * HOLD_NS,
    };
    (0..cpus).map(|cpu| hold(u16::try_from(cpu).expect("few CPUs"))).collect()
}

fn stand(prepared: Prepared, function: (&str, Option<u64>), progress: &Progress) -> Result<CapturedMachine, Trouble> {
    let runtime = runtime()?;
    let launch = Launch { start: choose_start(&prepared, &runtime, progress)?, orders: None, total: Instant::now() };
    runtime.block_on(async {
        let running = Box::pin(start(prepared.into_parts(), launch)).await?;
        let captured = Box::pin(capture_in(&running, function, progress)).await;
        drop(running.machine);
        running.observer.finish(RunEnd::Stopped);
        captured
    })
}

async fn capture_in(
    running: &RunningMachine,
    (name, in_kernel): (&str, Option<u64>),
    progress: &Progress,
) -> Result<CapturedMachine, Trouble> {
    let say = |doing: &str| progress.say(doing);
    let context = running.step_context(&say);
    let (mut report, mut module) = (GuestReport::default(), Vec::new());
    let updates = running.description.scenario.updates;
    let before = running.supervise(async {
        boot(&context, &mut report).await?;
        read_before(&context, &mut report).await?;
        for number in 1..updates {
            update(&context, &mut report, number).await?;
        }
        if let (Some(plan), Some(loaded)) = (context.kmod_plan, context.modules.last()) {
            let begins = section_begins(&context, &mut report, plan, &loaded.name).await?;
            module = plan.module_symbols(&begins);
        }
        Ok(())
    });
    before.await.map_err(|stop| ended(&stop))?;
    if report.updates.iter().any(Upload::succeeded) {
        return Err(not_there("an update that was to fail succeeded".into()));
    }
    let in_module = || module.iter().find(|(symbol, ..)| symbol == name).map(|(_, address, _)| *address);
    let address = in_kernel.or_else(in_module).ok_or_else(|| not_there(format!("it has no function {name}")))?;
    let schedules = vec![holds(running.description.scenario.cpus, address)];
    let held = running.emulator.ask(&Control::Schedules { schedules }).await;
    held.map_err(|error| not_there(error.to_string()))?;
    // The observer is not asked: to it each turn of a CPU that is held before a function is another call of that.
    tokio::select! {
        biased;
        done = update(&context, &mut report, updates) => match done {
            Ok(()) => Err(not_there(format!("the update ended before every CPU came to {name}"))),
            Err(error) => Err(not_there(error.to_string())),
        },
        taken = take(running, address) => {
            let (core, firmware) = taken?;
            let config = running.parts.plan.firmware.clone();
            Ok(CapturedMachine { core, module, firmware: (config, firmware) })
        }
    }
}

/// Stops the machine when all CPUs are held, and reads it and its firmware.
async fn take(running: &RunningMachine, address: u64) -> Result<(CoreFile, Vec<u8>), Trouble> {
    let monitors = running.machine.monitors.as_ref().expect("a machine on the host's clock has monitors");
    let failed = |error: StandstillError| not_there(error.to_string());
    stop_at(monitors, address).await.map_err(failed)?;
    let [core, firmware] = [CORE, FIRMWARE].map(|name| running.description.folder.file(name));
    write_core(monitors, &core).await.map_err(failed)?;
    let save = Control::SaveFirmware { path: firmware.clone() };
    running.emulator.ask(&save).await.map_err(|error| not_there(error.to_string()))?;
    let core = CoreFile::parse(read(&core)?).map_err(|error| not_there(error.to_string()))?;
    Ok((core, read(&firmware)?))
}

fn read(path: &Path) -> Result<Vec<u8>, Trouble> {
    std::fs::read(path).map_err(|e| Trouble::file("read", path, &e))
}

fn not_there(what: String) -> Trouble {
    Trouble::environment(
        what,
        "run an update of this kernel (`cargo rig run`), or prove from its file with --state elf",
    )
}

fn ended(stop: &Stop) -> Trouble {
    not_there(match stop {
        Stop::Finished => "it powered off".into(),
        Stop::Alarm(Alarm::Breach(breach)) => breach.summary(),
        Stop::Alarm(Alarm::Lost(what) | Alarm::Hung(what)) | Stop::Stalled(what) => what.clone(),
        Stop::Exited(status) => format!("QEMU ended: {status}"),
        Stop::Step(error) => error.to_string(),
        Stop::Interrupted => "interrupted".into(),
    })
}
