//! Everything that a run needs, made or found before a machine is started.

use super::folder::RunFolder;
use super::plan::{self, PlanFiles};
use super::subject::{self, GuestModule, Observer};
use crate::machine::command::MachineSpec;
use crate::machine::sockets::RuntimeDir;
use crate::scenario::{Backend, Scenario, Subject};
use crate::symbols::{KmodPlan, Observation, Symbols};
use crate::trouble::{Exit, Trouble};
use rig_images::{Artifact, Images, ImagesError, Kernel, KernelRequest, Progress};
use rig_judge::Setup;
use serde::Serialize;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

/// What the command line adds to a scenario.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Run folder; none: one under `runs/`.
    pub out: Option<PathBuf>,
    /// A QEMU of one's own.
    pub qemu: Option<PathBuf>,
    /// Keep the large files of a run that passed.
    pub keep: bool,
    /// Record no events, so that nothing is judged: for measuring what recording costs.
    pub no_events: bool,
}

/// How a kernel of Debian's is named, in place of a path.
const DEBIAN: &str = "debian:";

/// A run that is ready to start.
pub struct Prepared {
    /// What to run.
    pub(super) scenario: Scenario,
    /// Where its evidence goes.
    pub(super) folder: RunFolder,
    /// Sockets and ring.
    pub(super) runtime: RuntimeDir,
    /// QEMU, without its arguments.
    pub(super) qemu: Command,
    /// The machine.
    pub(super) spec: MachineSpec,
    /// What the judge is told.
    pub(super) setup: Setup,
    /// The kernel's symbols.
    pub(super) symbols: Symbols,
    /// The kernel's release, as its image says.
    pub(super) release: String,
    /// Modules that the agent loads, in order.
    pub(super) modules: Vec<GuestModule>,
    /// How to find what is watched in the subject's module once it is loaded; none: it is all in the kernel.
    pub(super) placing: Option<KmodPlan>,
    /// What the run is made of.
    pub(super) artifacts: Vec<Artifact>,
    /// Keep the large files of a run that passed.
    pub(super) keep: bool,
}

impl Prepared {
    /// The run folder, absolute.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// All that the kernel said, by whichever way it came.
    pub(super) fn kernel_log(&self) -> String {
        let files = [self.folder.file("kmsg.log"), self.spec.console.clone()];
        let read = |path: PathBuf| std::fs::read(path).unwrap_or_default();
        files.map(|path| String::from_utf8_lossy(&read(path)).into_owned()).concat()
    }

    /// Why SEAMCALLs reach the firmware the way they do.
    pub(super) fn backend_reason(&self) -> &'static str {
        match (self.scenario.backend, self.scenario.subject) {
            (Backend::Tcg, _) => "asked for",
            (Backend::Auto, Subject::InTree) => {
                "the in-tree subject calls firmware before a shim could catch it on KVM"
            }
            (Backend::Auto, Subject::Kmod) => "this rig has no other backend for it",
        }
    }
}

/// `manifest.json`.
#[derive(Serialize)]
struct ManifestFile<'a> {
    rig: &'static str,
    scenario: &'a Scenario,
    kernel_release: &'a str,
    artifacts: &'a [Artifact],
    warnings: Vec<String>,
}

/// What comes out of the image builder.
struct Made {
    kernel: Kernel,
    qemu: Command,
    plugin: PathBuf,
    initramfs: PathBuf,
    modules: Vec<GuestModule>,
    observer: Observer,
}

/// Makes or finds everything. Blocks, for minutes when the cache is empty.
pub fn prepare(scenario: Scenario, options: &Options, progress: &Progress) -> Result<Prepared, Trouble> {
    let images = Images::open(progress.clone())?;
    let made = make(&images, &scenario, options)?;
    let symbols = symbols(&images, &made, progress)?;
    let (seen, placing) = made.observer.observe(&symbols)?;
    let folder = RunFolder::create(options.out.as_deref(), &scenario.name)?;
    let runtime = RuntimeDir::create()?;
    let plan_file = write_plan(&scenario, (&seen, &made.kernel.release), (&folder, &runtime), options.no_events)?;
    let manifest = ManifestFile {
        rig: env!("CARGO_PKG_VERSION"),
        scenario: &scenario,
        kernel_release: &made.kernel.release,
        artifacts: &images.manifest(),
        warnings: images.warnings(),
    };
    folder.write_json("manifest.json", &manifest)?;
    let spec = MachineSpec {
        cpus: scenario.cpus,
        memory_mib: scenario.memory_mib(),
        kernel: boot_file(&made.kernel),
        initramfs: made.initramfs,
        kernel_arguments: scenario.kernel_arguments.clone(),
        plugin: Some((made.plugin, plan_file)),
        console: folder.file("console.log"),
    };
    let setup = plan::setup(&scenario, &seen);
    let artifacts = images.manifest();
    let (qemu, modules, keep, release) = (made.qemu, made.modules, options.keep, made.kernel.release);
    Ok(Prepared { scenario, folder, runtime, qemu, spec, setup, symbols, release, modules, placing, artifacts, keep })
}

/// The kernel's symbols; one that brings none is booted to tell them, once.
fn symbols(images: &Images, made: &Made, progress: &Progress) -> Result<Symbols, Trouble> {
    let Kernel { system_map, vmlinux, .. } = &made.kernel;
    if system_map.is_some() || vmlinux.is_some() {
        return Symbols::load(system_map.as_deref(), vmlinux.as_deref());
    }
    let initramfs = subject::initramfs(images, &made.kernel, &[])?;
    let text = super::learn::symbols(&made.qemu, &made.kernel, initramfs, progress)?;
    Symbols::load(Some(&images.keep_system_map(&made.kernel, text.as_bytes())?), None)
}

/// QEMU starts a kernel with a PVH entry from its ELF file, which saves unpacking it on an emulated CPU.
fn boot_file(kernel: &Kernel) -> PathBuf {
    let config = kernel.config.as_deref().and_then(|path| std::fs::read_to_string(path).ok()).unwrap_or_default();
    match &kernel.vmlinux {
        Some(vmlinux) if config.lines().any(|line| line == "CONFIG_PVH=y") => vmlinux.clone(),
        _ => kernel.bzimage.clone(),
    }
}

fn write_plan(
    scenario: &Scenario,
    (seen, release): (&Observation, &str),
    (folder, runtime): (&RunFolder, &RuntimeDir),
    no_events: bool,
) -> Result<PathBuf, Trouble> {
    let module = folder.file("module.bin");
    folder.write("module.bin", seam_emu::image::build(&scenario.module))?;
    let files = PlanFiles { module_image: module, ring: runtime.path("ring"), control: runtime.path("control.sock") };
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let mut plan = plan::plan(scenario, seen, release, files, cores)?;
    if no_events {
        (plan.ring, plan.watches, plan.functions) = (None, Vec::new(), Vec::new());
    }
    folder.write_json("plan.json", &plan)?;
    let toml = toml::to_string_pretty(scenario).expect("a scenario is plain data");
    folder.write("scenario.toml", toml)?;
    Ok(folder.file("plan.json"))
}

/// The builds know nothing of one another, so they go side by side.
fn make(images: &Images, scenario: &Scenario, options: &Options) -> Result<Made, Trouble> {
    thread::scope(|scope| {
        let qemu = scope.spawn(|| qemu(images, options));
        let plugin = scope.spawn(|| images.plugin());
        let kernel = kernel(images, scenario)?;
        let subject = subject::provide(images, scenario, &kernel)?;
        let initramfs = subject::initramfs(images, &kernel, &subject.files)?;
        let qemu = join(qemu)?;
        let (modules, observer) = (subject.modules, subject.observer);
        Ok(Made { kernel, qemu, plugin: join(plugin)?, initramfs, modules, observer })
    })
}

fn join<T, E: Into<Trouble>>(thread: thread::ScopedJoinHandle<'_, Result<T, E>>) -> Result<T, Trouble> {
    match thread.join() {
        Ok(result) => result.map_err(Into::into),
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

fn qemu(images: &Images, options: &Options) -> Result<Command, Trouble> {
    match &options.qemu {
        Some(path) => super::qemu::own(path),
        None => Ok(images.tool_root()?.qemu_command()),
    }
}

fn kernel(images: &Images, scenario: &Scenario) -> Result<Kernel, ImagesError> {
    match (scenario.kernel.as_deref(), scenario.subject) {
        (Some(path), Subject::Kmod) if path.to_string_lossy().starts_with(DEBIAN) => {
            images.debian_kernel(path.to_string_lossy().parse()?)
        }
        (Some(path), Subject::Kmod) => Kernel::from_path_any(path),
        (Some(path), Subject::InTree) => Kernel::from_path(path),
        (None, _) => images.kernel(&KernelRequest::default()),
    }
}

impl From<ImagesError> for Trouble {
    fn from(error: ImagesError) -> Self {
        let exit = match &error {
            ImagesError::NoKernelImage(_)
            | ImagesError::NoSymbols(_)
            | ImagesError::NoTdxHost { .. }
            | ImagesError::NoFragment(_)
            | ImagesError::NoModuleTree { .. } => Exit::Usage,
            _ => Exit::Environment,
        };
        Self { exit, cause: error.to_string(), help: error.remedy() }
    }
}
