//! Everything that a run needs, made or found before a machine is started.

use super::backend::{Backing, Bridge};
use super::client;
use super::folder::RunFolder;
use super::holds;
use super::orders::Orders;
use super::plan::{self, PlanFiles};
use super::snapshot::Start;
use super::subject::{self, GuestModule, Observer};
use crate::machine::clone_command;
use crate::machine::command::{AGENT_SOCKET, GUESSED_HZ, MachineSpec, MachineStart};
use crate::machine::snapshot::hex;
use crate::machine::sockets::RuntimeDir;
use crate::scenario::{Clock, Scenario, Subject};
use crate::symbols::{KmodPlan, Observation, Symbols};
use crate::trouble::Trouble;
use crate::version::rig_build;
use rig_images::{Artifact, Images, ImagesError, Kernel, KernelRequest, Progress};
use rig_judge::Setup;
use rig_judge::origin::KernelImage;
use rig_wire::plan::{Hold, Plan};
use seam_emu::Config;
use serde::Serialize;
use sha2::{Digest, Sha256};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
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
    /// Boot, even where a snapshot would do.
    pub cold: bool,
}

/// How a kernel of Debian's is named, in place of a path.
const DEBIAN: &str = "debian:";
/// How a kernel that the rig builds with more checks is named, in place of a path.
const PROFILE: &str = "profile:";

/// A run that is ready to start.
#[derive(Debug)]
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
    pub(super) symbols: Arc<Symbols>,
    /// The kernel's release, as its image says.
    pub(super) release: String,
    /// The kernel's image.
    pub(super) kernel_image: KernelImage,
    /// Modules that the agent loads, in order.
    pub(super) modules: Vec<GuestModule>,
    /// How to find what is watched in the subject's module once it is loaded; none: it is all in the kernel.
    pub(super) placing: Option<KmodPlan>,
    /// What the run is made of.
    pub(super) artifacts: Vec<Artifact>,
    /// Keep the large files of a run that passed.
    pub(super) keep: bool,
    /// What the emulator is told; a file in the run folder says the same.
    pub(super) plan: Plan<Config>,
    /// A QEMU of one's own.
    pub(super) own_qemu: Option<PathBuf>,
    /// Boot, even where a snapshot would do.
    pub(super) cold: bool,
    /// How SEAMCALLs reach the firmware.
    pub(super) backing: Backing,
    /// How the machine comes up.
    pub(super) start: Start,
    /// What is watched.
    pub(super) seen: Observation,
    /// Orders of accesses that were seen, over all machines of an exploration.
    pub(super) orders: Option<Arc<Orders>>,
    /// While it lives, the cache keeps what the run is made of.
    pub(super) images: Arc<Images>,
}

impl Prepared {
    /// Why this run must boot; none: a snapshot will do.
    pub(super) fn cold_reason(&self) -> Option<&'static str> {
        if self.cold {
            return Some("asked for");
        }
        self.plan.ring.is_none().then_some("without recording, the events of the boot are not known")
    }

    /// The same run once more, with its evidence in another folder and with sockets of its own.
    pub(super) fn again(&self, folder: RunFolder) -> Result<Self, Trouble> {
        let runtime = RuntimeDir::create()?;
        let mut plan = self.plan.clone();
        plan.ring = plan.ring.map(|_| runtime.path(RING));
        plan.control = plan.control.map(|_| runtime.path(CONTROL));
        plan.exchange = plan.exchange.map(|_| runtime.path(AGENT_SOCKET));
        let mut spec = self.spec.clone();
        spec.console = folder.file(CONSOLE);
        spec.plugin = spec.plugin.map(|(library, _)| (library, folder.file(PLAN)));
        Ok(Self {
            scenario: self.scenario.clone(),
            qemu: clone_command(&self.qemu),
            setup: self.setup.clone(),
            symbols: Arc::clone(&self.symbols),
            release: self.release.clone(),
            kernel_image: self.kernel_image.clone(),
            modules: self.modules.clone(),
            placing: self.placing.clone(),
            artifacts: self.artifacts.clone(),
            keep: self.keep,
            own_qemu: self.own_qemu.clone(),
            cold: self.cold,
            backing: self.backing.clone(),
            start: self.start.clone(),
            seen: self.seen.clone(),
            orders: self.orders.clone(),
            images: Arc::clone(&self.images),
            folder,
            runtime,
            spec,
            plan,
        })
    }

    /// Writes the plan where the emulator looks for it.
    pub(super) fn write_plan(&self) -> Result<(), Trouble> {
        self.folder.write_json(PLAN, &self.plan)
    }

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
}

/// Names of files in a run folder or among the sockets.
const PLAN: &str = "plan.json";
const CONSOLE: &str = "console.log";
pub(super) const RING: &str = "ring";
pub(super) const CONTROL: &str = "control.sock";
pub(super) const MAILBOX: &str = "mailbox.sock";

/// `manifest.json`.
#[derive(Serialize)]
struct ManifestFile<'a> {
    rig: String,
    scenario: &'a Scenario,
    kernel_release: &'a str,
    artifacts: &'a [Artifact],
    warnings: Vec<String>,
}

/// What comes out of the image builder.
struct Made {
    kernel: Kernel,
    qemu: Command,
    backing: Backing,
    plugin: Option<PathBuf>,
    initramfs: PathBuf,
    modules: Vec<GuestModule>,
    observer: Observer,
}

/// Makes or finds everything. Blocks, for minutes when the cache is empty.
pub fn prepare(scenario: Scenario, options: &Options, progress: &Progress) -> Result<Prepared, Trouble> {
    let brought = client::artifacts(&scenario)?;
    let images = Images::open(progress.clone())?;
    let made = make(&images, &scenario, options)?;
    let symbols = symbols(&images, &made, progress)?;
    let (mut seen, placing) = made.observer.observe(&symbols)?;
    let schedules = holds::schedules(&scenario, &mut seen, &symbols)?;
    let folder = RunFolder::create(options.out.as_deref(), &scenario.name)?;
    let runtime = RuntimeDir::create()?;
    let told = (made.kernel.release.as_str(), schedules);
    let mut plan = make_plan(&scenario, (&seen, told), (&folder, &runtime), options.no_events)?;
    let artifacts = images.manifest();
    if options.qemu.is_none() && takes_shortcuts(&artifacts) {
        plan.shortcuts = Some(plan::shortcuts(&symbols, scenario.cpus));
    }
    let manifest = ManifestFile {
        rig: rig_build().summary(),
        scenario: &scenario,
        kernel_release: &made.kernel.release,
        artifacts: &[artifacts.clone(), brought].concat(),
        warnings: images.warnings(),
    };
    folder.write_json("manifest.json", &manifest)?;
    let spec = MachineSpec {
        processor: made.backing.processor.clone(),
        mailbox: None,
        share: None,
        cpus: scenario.cpus,
        memory_mib: scenario.memory_mib(),
        kernel: boot_file(&made.kernel),
        initramfs: made.initramfs,
        kernel_arguments: scenario.kernel_arguments.clone(),
        plugin: made.plugin.map(|library| (library, folder.file(PLAN))),
        console: folder.file(CONSOLE),
        hz: made.kernel.hz().unwrap_or(GUESSED_HZ),
        tsc_khz: None,
        start: MachineStart::Boot,
        deterministic: scenario.clock == Clock::Deterministic,
        monitored: scenario.clock == Clock::Parallel,
    };
    let setup = plan::setup(&scenario, &seen);
    let kernel_image = kernel_image(&made.kernel);
    let (qemu, modules, keep, release) = (made.qemu, made.modules, options.keep, made.kernel.release);
    let (symbols, own_qemu, cold) = (Arc::new(symbols), options.qemu.clone(), options.cold);
    let start = Start::Boot("not decided yet".into());
    Ok(Prepared {
        scenario,
        folder,
        runtime,
        qemu,
        spec,
        setup,
        symbols,
        release,
        kernel_image,
        modules,
        placing,
        artifacts,
        keep,
        plan,
        own_qemu,
        cold,
        backing: made.backing,
        start,
        seen,
        orders: None,
        images: Arc::new(images),
    })
}

/// Path and hash of the kernel's image as it is now.
fn kernel_image(kernel: &Kernel) -> KernelImage {
    let path = kernel.bzimage.clone();
    let sha256 = std::fs::read(&path).ok().map(|bytes| hex(&Sha256::digest(bytes)));
    KernelImage { path, build: None, sha256 }
}

/// Whether QEMU is of the version whose inside the plugin's shortcuts know.
fn takes_shortcuts(artifacts: &[Artifact]) -> bool {
    let is_qemu = |artifact: &&Artifact| artifact.name == "qemu-system-x86";
    artifacts.iter().find(is_qemu).is_some_and(|qemu| qemu.version.trim_start_matches("1:").starts_with("11.1."))
}

/// The kernel's symbols; one that brings none is booted to tell them, once.
fn symbols(images: &Images, made: &Made, progress: &Progress) -> Result<Symbols, Trouble> {
    let Kernel { system_map, vmlinux, .. } = &made.kernel;
    if system_map.is_some() || vmlinux.is_some() {
        return Symbols::load(system_map.as_deref(), vmlinux.as_deref());
    }
    let initramfs = subject::initramfs(images, &made.kernel, &[], Vec::new(), None)?;
    let text = super::learn::symbols(&made.qemu, &made.kernel, initramfs, progress)?;
    Symbols::load(Some(&images.keep_system_map(&made.kernel, text.as_bytes())?), None)
}

/// QEMU starts a kernel with a PVH entry from its ELF file, which saves unpacking it on an emulated CPU.
fn boot_file(kernel: &Kernel) -> PathBuf {
    match &kernel.vmlinux {
        Some(vmlinux) if kernel.is_configured("CONFIG_PVH=y") => vmlinux.clone(),
        _ => kernel.bzimage.clone(),
    }
}

fn make_plan(
    scenario: &Scenario,
    (seen, told): (&Observation, (&str, Vec<Vec<Hold>>)),
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
    let mut plan = plan::plan(scenario, seen, told, files, cores)?;
    if no_events {
        (plan.ring, plan.watches, plan.functions) = (None, Vec::new(), Vec::new());
    }
    let toml = toml::to_string_pretty(scenario).expect("a scenario is plain data");
    folder.write("scenario.toml", toml)?;
    Ok(plan)
}

/// The builds know nothing of one another, so they go side by side.
fn make(images: &Images, scenario: &Scenario, options: &Options) -> Result<Made, Trouble> {
    thread::scope(|scope| {
        let qemu = scope.spawn(|| qemu(images, options));
        let early = Backing::decided(scenario);
        let plugin = early.as_ref().filter(|backing| backing.bridge == Bridge::Plugin);
        let plugin = plugin.map(|_| scope.spawn(|| images.plugin()));
        let kernel = kernel(images, scenario)?;
        let qemu = join(qemu)?;
        let backing = match early {
            Some(backing) => backing,
            None => Backing::probed(images, scenario, &qemu, &kernel)?,
        };
        let subject = subject::provide(images, scenario, &kernel, backing.bridge)?;
        let userspace = scenario.userspace.as_ref().map(|u| images.userspace(&u.packages)).transpose()?;
        let extra = [super::hw::files(images, scenario)?, client::files(scenario)?].concat();
        let initramfs = subject::initramfs(images, &kernel, &subject.files, extra, userspace.as_ref())?;
        let plugin = match plugin {
            Some(plugin) => Some(join(plugin)?),
            None if backing.bridge == Bridge::Plugin => Some(images.plugin()?),
            None => None,
        };
        let (modules, observer) = (subject.modules, subject.observer);
        Ok(Made { kernel, qemu, backing, plugin, initramfs, modules, observer })
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
    let named = scenario.kernel.as_deref().and_then(Path::to_str);
    if let Some(profile) = named.and_then(|name| name.strip_prefix(PROFILE)) {
        return images.kernel(&KernelRequest::profile(profile)?);
    }
    match (scenario.kernel.as_deref(), scenario.subject) {
        (Some(path), Subject::Kmod) if path.to_string_lossy().starts_with(DEBIAN) => {
            images.debian_kernel(path.to_string_lossy().parse()?)
        }
        (Some(path), Subject::Kmod) => Kernel::from_path_any(path),
        (Some(path), Subject::InTree) => Kernel::from_path(path),
        (None, _) => images.kernel(&KernelRequest::default()),
    }
}
