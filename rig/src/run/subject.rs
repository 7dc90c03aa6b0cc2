//! What the subjects need: modules in the guest, and how each is observed.

use super::backend::Bridge;
use super::loads;
use crate::scenario::{Scenario, Subject};
use crate::symbols::{KmodPlan, ModuleSymbols, Observation, SubjectError, Symbols, observe_update};
use crate::trouble::Trouble;
use rig_images::{Images, ImagesError, Kernel, Userspace};
use std::path::{Path, PathBuf};

/// The agent's list of modules to load before it looks for its port.
const BOOT_LIST: &str = "lib/modules/rig/boot";

/// A module that the agent loads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GuestModule {
    /// File name without `.ko`.
    pub(crate) name: String,
    /// Parameters, as for insmod.
    pub(crate) parameters: String,
}

impl GuestModule {
    fn of(file: &Path, parameters: &str) -> Self {
        Self { name: stem(file), parameters: parameters.into() }
    }
}

/// How the subject is observed.
#[derive(Clone, Debug)]
pub(super) enum Observer {
    /// By the kernel's symbols.
    InTree,
    /// By those of this module file, too.
    Kmod(PathBuf),
    /// By itself: the module tells the emulator through the shim.
    Itself,
}

/// What a subject brings into the guest.
#[derive(Clone, Debug)]
pub(super) struct Provided {
    /// Module files for the initramfs.
    pub(super) files: Vec<PathBuf>,
    /// What the agent loads, in order.
    pub(super) modules: Vec<GuestModule>,
    /// How it is observed.
    pub(super) observer: Observer,
}

/// Folder of the subject's attributes in the guest.
pub(super) fn attributes(subject: Subject) -> &'static str {
    match subject {
        Subject::InTree => "/sys/devices/faux/tdx_host",
        Subject::Kmod => "/sys/devices/tdx_update",
    }
}

/// Whether a module, by its file's name, is the code under test, and not one that it or a load needs.
pub(super) fn is_subject(module: &str) -> bool {
    ["tdx-host", "tdx_update", "tdx_update_twins"].contains(&module)
}

/// Finds or builds the subject's modules, and those that the loads need: the agent loads these when it starts the loads.
pub(super) fn provide(
    images: &Images,
    scenario: &Scenario,
    kernel: &Kernel,
    bridge: Bridge,
) -> Result<Provided, Trouble> {
    let mut provided = match (scenario.subject, bridge) {
        (Subject::InTree, _) => in_tree(kernel)?,
        (Subject::Kmod, Bridge::Plugin) => kmod(images, scenario, kernel)?,
        (Subject::Kmod, Bridge::Mailbox) => behind_shim(images, scenario, kernel)?,
    };
    if scenario.tds.is_some() {
        add_kvm(kernel, &mut provided)?;
    }
    provided.files.extend(own_modules(images, kernel, &loads::modules(&scenario.load))?);
    Ok(provided)
}

/// KVM with its support of trust domains, for scenarios that have some.
fn add_kvm(kernel: &Kernel, provided: &mut Provided) -> Result<(), ImagesError> {
    for file in kernel.load_order("kvm-intel")? {
        let parameters = if stem(&file) == "kvm-intel" { "tdx=1" } else { "" };
        provided.modules.push(GuestModule::of(&file, parameters));
        provided.files.push(file);
    }
    Ok(())
}

/// A kernel may have the driver built in; then there is nothing to load.
fn in_tree(kernel: &Kernel) -> Result<Provided, ImagesError> {
    let files = if kernel.modules.is_empty() { Vec::new() } else { kernel.load_order("tdx-host")? };
    let modules = files.iter().map(|file| GuestModule::of(file, "")).collect();
    Ok(Provided { files, modules, observer: Observer::InTree })
}

fn update_module(scenario: &Scenario) -> &'static str {
    if scenario.twin.is_some() { "tdx_update_twins" } else { "tdx_update" }
}

/// The shim, and the update module behind it.
fn behind_shim(images: &Images, scenario: &Scenario, kernel: &Kernel) -> Result<Provided, Trouble> {
    let files = own_modules(images, kernel, &["seam_shim", update_module(scenario)])?;
    let modules = vec![GuestModule::of(&files[0], ""), GuestModule::of(&files[1], &parameters(scenario))];
    Ok(Provided { files, modules, observer: Observer::Itself })
}

/// The update module, and KVM before it where only that enters VMX operation.
fn kmod(images: &Images, scenario: &Scenario, kernel: &Kernel) -> Result<Provided, Trouble> {
    let file = own_modules(images, kernel, &[update_module(scenario)])?.remove(0);
    let mut files = if needs_kvm(kernel) { kernel.load_order("kvm_intel")? } else { Vec::new() };
    let mut modules: Vec<_> = files.iter().map(|file| GuestModule::of(file, "")).collect();
    files.push(file.clone());
    modules.push(GuestModule::of(&file, &parameters(scenario)));
    Ok(Provided { files, modules, observer: Observer::Kmod(file) })
}

/// Since Linux 6.19 only KVM can enter VMX operation, where the kernel has no TDX host support of its own
/// (`guest-kmod/bringup.h`).
fn needs_kvm(kernel: &Kernel) -> bool {
    let mut numbers = kernel.release.split(['.', '-', '+']).map_while(|part| part.parse::<u32>().ok());
    let release = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    release >= (6, 19) && !kernel.is_configured("CONFIG_INTEL_TDX_HOST=y") && kernel.module("kvm_intel").is_some()
}

/// Modules without which the agent of this kernel reaches nobody, in the order of loading; none if they are built in.
pub(super) fn boot_modules(kernel: &Kernel) -> Result<Vec<PathBuf>, ImagesError> {
    let mut files = Vec::new();
    for name in ["virtio_pci", "virtio_console"] {
        if kernel.module(name).is_some() {
            files.extend(kernel.load_order(name)?.into_iter().filter(|file| !files.contains(file)).collect::<Vec<_>>());
        }
    }
    Ok(files)
}

/// The initramfs with the agent, these modules, those that it needs itself, and other files, on a userspace if there is one.
pub(super) fn initramfs(
    images: &Images,
    kernel: &Kernel,
    modules: &[PathBuf],
    mut extra: Vec<(String, Vec<u8>)>,
    userspace: Option<&Userspace>,
) -> Result<PathBuf, ImagesError> {
    let boot = boot_modules(kernel)?;
    let list: String = boot.iter().map(|file| stem(file) + "\n").collect();
    if !boot.is_empty() {
        extra.push((BOOT_LIST.to_owned(), list.into_bytes()));
    }
    images.initramfs(&images.agent()?, &[&boot, modules].concat(), &extra, userspace)
}

/// These modules of guest-kmod, built for this kernel, in this order. To find the build is to hash the kernel, so all are asked for at once.
pub(super) fn own_modules(images: &Images, kernel: &Kernel, names: &[&str]) -> Result<Vec<PathBuf>, Trouble> {
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate lies in the workspace");
    let built = images.build_modules(kernel, &workspace.join("guest-kmod"))?;
    let find = |name: &&str| {
        let help = "remove the entry from the cache (`cargo rig images clean`) and let the rig build it again";
        let missing = || Trouble::environment(format!("the build of guest-kmod has no {name}.ko"), help);
        built.iter().find(|file| stem(file) == *name).cloned().ok_or_else(missing)
    };
    names.iter().map(find).collect()
}

fn parameters(scenario: &Scenario) -> String {
    let ack = scenario.ack.map(|ack| format!("ack={}", ack.parameter()));
    let twin = scenario.twin.map(|twin| format!("twin={}", twin.parameter()));
    let engine = scenario.engine.map(|engine| format!("engine={}", engine.parameter()));
    let more = Some(&scenario.module_parameters).filter(|more| !more.is_empty()).cloned();
    [ack, engine, twin, more].into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

impl Observer {
    /// What to watch, and what is known of it only when the module is loaded.
    pub(super) fn observe(&self, symbols: &Symbols) -> Result<(Observation, Option<KmodPlan>), Trouble> {
        let refuse = |help: &'static str| move |e: SubjectError| Trouble::usage(e.to_string(), help);
        match self {
            Self::InTree => {
                let help = "take Linux 7.2 or later, configured with images/kernels/tdx-host.config";
                Ok((observe_update(symbols).map_err(refuse(help))?, None))
            }
            Self::Kmod(file) => {
                let help = "take a kernel with its complete System.map or vmlinux";
                let plan = KmodPlan::new(symbols, ModuleSymbols::load(file)?).map_err(refuse(help))?;
                Ok((plan.observation.clone(), Some(plan)))
            }
            Self::Itself => Ok((KmodPlan::told(), None)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Ack, Engine, Twin};

    #[test]
    fn the_module_is_told_what_the_scenario_says() {
        let kmod = Scenario { subject: Subject::Kmod, ..Scenario::default() };
        assert_eq!(parameters(&kmod), "");
        assert_eq!(parameters(&Scenario { ack: Some(Ack::Atomic), ..kmod.clone() }), "ack=atomic");
        let engine = Scenario { engine: Some(Engine::StopMachine), ..kmod.clone() };
        assert_eq!(parameters(&engine), "engine=stop_machine");
        let twin = Scenario { ack: Some(Ack::Lock), twin: Some(Twin::LateReset), ..kmod };
        assert_eq!(parameters(&twin), "ack=lock twin=late-reset");
    }
}
