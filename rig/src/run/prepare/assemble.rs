//! From a scenario to a run that is ready to start.

use super::machine::{CONTROL, MachineParts, RING};
use super::make::{Made, make};
use super::options::{LoggedFunctions, Options};
use super::plan::{self, PlanFiles};
use super::prepared::Prepared;
use super::subject::SubjectParts;
use super::{client, holds, kernel, manifest};
use crate::machine::command::{AGENT_SOCKET, GUESSED_HZ, MachineSpec, MachineStart};
use crate::machine::sockets::RuntimeDir;
use crate::run::folder::{CONSOLE, PLAN, RunFolder};
use crate::run::record::description::RunDescription;
use crate::scenario::{Clock, Scenario};
use crate::symbols::{Observation, Symbols};
use crate::trouble::Trouble;
use rig_images::{Artifact, Images, Progress};
use rig_judge::verdict::Backend;
use rig_wire::plan::{Hold, InstructionLog, Plan};
use seam_emu::Config;
use std::sync::Arc;
use std::thread;

/// Makes or finds everything. Blocks, for minutes when the cache is empty.
pub fn prepare(scenario: Scenario, options: &Options, progress: &Progress) -> Result<Prepared, Trouble> {
    let brought = client::artifacts(&scenario)?;
    let images = Images::open(progress.clone())?;
    let made = make(&images, &scenario, options)?;
    let symbols = kernel::symbols(&images, &made.kernel, &made.qemu, progress)?;
    let (mut observation, kmod_plan) = made.observed_by.observe(&symbols, scenario.shape.as_ref())?;
    for (invariant, why) in &observation.unobservable {
        progress.say(&format!("{invariant} cannot be seen to hold: {why}"));
    }
    let schedules = holds::schedules(&scenario, &mut observation, &symbols)?;
    let folder = RunFolder::create(options.out.as_deref(), &scenario.name)?;
    let runtime = RuntimeDir::create()?;
    let kernel_and_schedules = (made.kernel.release.as_str(), schedules);
    let mut plan = make_plan(&scenario, (&observation, kernel_and_schedules), (&folder, &runtime), options.no_events)?;
    plan.instruction_log = options.instructions.as_ref().map(|wanted| instruction_log(wanted, &symbols)).transpose()?;
    let artifacts = images.manifest();
    if options.qemu.is_none() && takes_shortcuts(&artifacts) {
        plan.shortcuts = Some(plan::shortcuts(&symbols, scenario.cpus));
    }
    let all = [artifacts.clone(), brought].concat();
    manifest::write(&folder, &scenario, &made.kernel.release, &all, images.warnings())?;
    let spec = spec(&scenario, &made, &folder, options);
    let description = RunDescription {
        setup: plan::setup(&scenario, &observation),
        scenario,
        folder,
        kernel_image: kernel::image(&made.kernel),
        kernel_release: made.kernel.release,
        backend: Backend { name: made.backing.name().into(), reason: made.backing.reason },
        artifacts,
        keep: options.keep,
    };
    let machine = MachineParts {
        qemu: made.qemu,
        own_qemu: options.qemu.clone(),
        spec,
        plan,
        bridge: made.backing.bridge,
        runtime,
        images: Arc::new(images),
    };
    let subject = SubjectParts { symbols: Arc::new(symbols), observation, modules: made.modules, kmod_plan };
    Ok(Prepared::new(description, machine, subject, options))
}

/// The machine, before it is known whether it boots.
fn spec(scenario: &Scenario, made: &Made, folder: &RunFolder, options: &Options) -> MachineSpec {
    MachineSpec {
        processor: made.backing.processor.clone(),
        mailbox: None,
        share: None,
        terminal: options.terminal.clone(),
        cpus: scenario.cpus,
        memory_mib: scenario.memory_mib(),
        kernel: made.kernel.starts_from().to_owned(),
        initramfs: made.initramfs.clone(),
        kernel_arguments: format!("{} {}", scenario.kernel_arguments, made.kernel_arguments).trim().to_owned(),
        plugin: made.plugin.clone().map(|library| (library, folder.file(PLAN))),
        console: folder.file(CONSOLE),
        hz: made.kernel.hz().unwrap_or(GUESSED_HZ),
        tsc_khz: None,
        start: MachineStart::Boot,
        deterministic: scenario.clock == Clock::Deterministic,
        monitored: scenario.clock == Clock::Parallel,
    }
}

/// Whether QEMU is of the version whose inside the plugin's shortcuts know.
fn takes_shortcuts(artifacts: &[Artifact]) -> bool {
    let is_qemu = |artifact: &&Artifact| artifact.name == "qemu-system-x86";
    artifacts.iter().find(is_qemu).is_some_and(|qemu| qemu.version.trim_start_matches("1:").starts_with("11.1."))
}

fn make_plan(
    scenario: &Scenario,
    (observation, kernel_and_schedules): (&Observation, (&str, Vec<Vec<Hold>>)),
    (folder, runtime): (&RunFolder, &RuntimeDir),
    no_events: bool,
) -> Result<Plan<Config>, Trouble> {
    let module = folder.file("module.bin");
    folder.write("module.bin", seam_emu::image::build(&scenario.module))?;
    let files = PlanFiles {
        module_image: module,
        ring: runtime.path(RING),
        control: runtime.path(CONTROL),
        agent: runtime.path(AGENT_SOCKET),
    };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut plan = plan::plan(scenario, observation, kernel_and_schedules, files, cores)?;
    if no_events {
        (plan.ring, plan.watches, plan.functions) = (None, Vec::new(), Vec::new());
    }
    let toml = scenario.to_toml();
    folder.write("scenario.toml", toml)?;
    Ok(plan)
}

/// Where the functions lie whose instructions are to be logged.
fn instruction_log(wanted: &LoggedFunctions, symbols: &Symbols) -> Result<InstructionLog, Trouble> {
    let range = |name: &String| match symbols.ranges(name)[..] {
        [range] => Ok(range),
        ref other => {
            let cause = format!("the kernel has {} functions called {name}", other.len());
            Err(Trouble::usage(cause, "name functions of the kernel itself, each by its own name"))
        }
    };
    let function = range(&wanted.first)?;
    let others: Vec<_> = wanted.others.iter().map(range).collect::<Result<_, _>>()?;
    let within = [vec![function], others].concat();
    Ok(InstructionLog { file: wanted.file.clone(), function, within })
}
